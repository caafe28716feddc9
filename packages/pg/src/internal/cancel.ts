/**
 * PostgreSQL's CancelRequest: it asks for the end of whatever one backend is doing, on a connection of its own.
 *
 * Enters: where the server is and the keys of the backend. `done(true)` comes when the server has closed that
 * connection, which it does after it has sent the signal: from then on nothing of this request can arrive any more.
 * After `done(false)` it may still arrive, at any time: the backend must not be used again.
 */
import type * as Pg from "pg"
import type { Keys } from "./wire.js"
import { makeWire } from "./wire.js"

export interface CancelTarget {
  readonly config: Pg.ClientConfig
  readonly host: string
  readonly port: number
  readonly ssl: Pg.ClientConfig["ssl"]
}

export const sendCancel = (target: CancelTarget, keys: Keys, done: (closed: boolean) => void): (() => void) => {
  const { processID, secretKey } = keys
  if (processID === null || secretKey === null) {
    // No key, no cancel: some poolers and embedded servers give none.
    done(false)
    return () => {}
  }
  let sent = false
  let failed = false
  const wire = makeWire({ ...target.config, ssl: target.ssl })
  const send = () => {
    sent = true
    wire.cancel(processID, secretKey)
  }
  wire.on("connect", () => (target.ssl ? wire.requestSsl() : send()))
  wire.on("sslconnect", send)
  wire.on("error", () => {
    failed = true
  })
  wire.once("end", () => done(sent && !failed))
  if (target.host.startsWith("/")) wire.connect(`${target.host}/.s.PGSQL.${target.port}`)
  else wire.connect(target.port, target.host)
  return () => wire.stream.destroy()
}
