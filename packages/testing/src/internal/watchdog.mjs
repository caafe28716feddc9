// The watchdog of one workspace. Enters: the workspace's folder and others to be removed as arguments, and a pipe from the parent as stdin.
// When the pipe closes, however the parent ended (return, Ctrl-C, SIGKILL), no server of that folder and no folder is left.
// It runs in a session of its own, so that a terminal's Ctrl-C reaches the parent and not it. It asks the process table
// instead of trusting a list of pids: a server spawned an instant before the parent was killed is found too.
import { existsSync, readdirSync, rmSync } from "node:fs"
import { basename, join } from "node:path"
import * as Processes from "./processes.mjs"

const [folder, ...others] = process.argv.slice(2)
const token = basename(folder)
const orderlyMillis = 1500
const giveUpMillis = 15_000

const sleep = (millis) => new Promise((resolve) => setTimeout(resolve, millis))

const cleanUp = async () => {
  const start = Date.now()
  while (Date.now() - start < giveUpMillis) {
    const pids = Processes.ownedBy(token)
    if (pids.length === 0 && remove()) return
    // SIGQUIT is an immediate shutdown that still frees shared memory; SIGCONT first, for servers that a test paused.
    const orderly = Date.now() - start < orderlyMillis
    for (const pid of pids) Processes.signal(pid, "SIGCONT")
    for (const pid of pids) Processes.signal(pid, orderly ? "SIGQUIT" : "SIGKILL")
    await sleep(25)
  }
}

const remove = () => {
  if (![folder, ...others].some((path) => existsSync(path))) return true
  try {
    for (const entry of existsSync(folder) ? readdirSync(folder) : [])
      Processes.freeSharedMemory(join(folder, entry, "data"))
    for (const path of [...others, folder]) rmSync(path, { recursive: true, force: true })
    return true
  } catch {
    // A process that was ended an instant ago may still have been writing: the next round tries again.
    return false
  }
}

for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(name, () => {})
process.stdin.on("error", () => {})
process.stdin.resume()
process.stdin.once("close", cleanUp)
