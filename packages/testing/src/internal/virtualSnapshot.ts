// PGlite started from a data folder that is there already: making one takes seconds, loading one some tenths of a second.
// Enters: nothing; leaves: instances of PGlite, each with a data folder of its own. Always: the compiled modules are shared by
// all of this process; the data folder is made once for all processes where it can be kept (`templateCache`), else once for this.
// Approximates: from a snapshot there are no files of template0 and template1, nor log ahead of time, which would be two thirds
// of it. A further database cannot be made, and nobody could connect to it.
import type { PGlite, PGliteOptions } from "@electric-sql/pglite"
import { globalValue } from "effect/GlobalValue"
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import * as TemplateCache from "./templateCache.js"

/** The first one of a machine is made, and the others are copies of what it was then. */
export const create = async (): Promise<PGlite> => {
  const loaded = await globalValue("@shardlayer/testing/virtualSnapshot", load)
  if (loaded.snapshot !== undefined) return loaded.create({ loadDataDir: await loaded.snapshot })
  const first = await loaded.create({ initDbStartParams: ["--wal-segsize=1"] })
  loaded.snapshot = dumped(first).then((snapshot) => {
    keep(loaded.path, snapshot)
    return new Blob([snapshot])
  })
  await loaded.snapshot
  return first
}

interface Loaded {
  readonly create: (options: PGliteOptions) => Promise<PGlite>
  /** Where the snapshot is kept between processes. */
  readonly path: string | undefined
  snapshot: Promise<Blob> | undefined
}

/** Node has it, but its types for version 20 do not say so. */
declare const WebAssembly: {
  readonly compile: (bytes: Uint8Array) => Promise<NonNullable<PGliteOptions["pgliteWasmModule"]>>
}

/** PGlite is loaded here only: who uses servers should not wait for it. */
const load = async (): Promise<Loaded> => {
  const { PGlite } = await import("@electric-sql/pglite")
  const folder = dirname(createRequire(import.meta.url).resolve("@electric-sql/pglite"))
  const compile = async (name: string) => WebAssembly.compile(await Fs.promises.readFile(join(folder, name)))
  const [pgliteWasmModule, initdbWasmModule, data] = await Promise.all([
    compile("pglite.wasm"),
    compile("initdb.wasm"),
    Fs.promises.readFile(join(folder, "pglite.data"))
  ])
  const fsBundle = new Blob([data])
  // Buffers are memory that each shard has twice, beside its files, which are memory too.
  const settings = { max_prepared_transactions: 16, shared_buffers: "8MB" }
  const startParams = [
    ...PGlite.defaultStartParams,
    ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])
  ]
  const path = pathOf(folder)
  const kept = path === undefined ? undefined : read(path)
  return {
    path,
    snapshot: kept === undefined ? undefined : Promise.resolve(new Blob([kept])),
    create: (options) => PGlite.create({ startParams, pgliteWasmModule, initdbWasmModule, fsBundle, ...options })
  }
}

/** One a version, told by the programs themselves. */
const pathOf = (folder: string): string | undefined => {
  const cache = TemplateCache.folder()
  if (cache === undefined) return undefined
  const sizes = ["pglite.wasm", "initdb.wasm", "pglite.data"].map((name) => Fs.statSync(join(folder, name)).size)
  return join(cache, `virtual-${layoutVersion}-${sizes.join("-")}.tar`)
}

/** To be raised with what `dumped` leaves out. */
const layoutVersion = 1

const dumped = async (pglite: PGlite): Promise<Uint8Array> => {
  // What has happened since the last one would be done again at each start.
  await pglite.exec("CHECKPOINT")
  const { rows } = await pglite.query<{ readonly file: string }>(
    "SELECT pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()) AS file"
  )
  const current = rows[0]?.file
  const tar = Buffer.from(await (await pglite.dumpDataDir("none")).arrayBuffer())
  return without(tar, (name) => isTemplate(name) || (isLog(name) && !name.endsWith(`/${current}`)))
}

const isTemplate = (name: string): boolean => /\/base\/[14]\/./.test(name)
const isLog = (name: string): boolean => /\/pg_wal\/[0-9A-F]{24}$/.test(name)

/** The entries of a tar whose names are not left out: a header of 512 bytes each, and contents in blocks of as many. */
const without = (tar: Buffer, isLeftOut: (name: string) => boolean): Uint8Array => {
  const entries: Array<Buffer> = []
  for (let offset = 0; offset < tar.length && tar[offset] !== 0;) {
    const name = tar.toString("utf8", offset, offset + 100).replace(/\0.*/s, "")
    const size = Number.parseInt(tar.toString("latin1", offset + 124, offset + 136), 8) || 0
    const end = offset + block + Math.ceil(size / block) * block
    if (!isLeftOut(name)) entries.push(tar.subarray(offset, end))
    offset = end
  }
  return Buffer.concat([...entries, Buffer.alloc(2 * block)])
}

const block = 512

/** A whole tar ends with two blocks of zeros; what a crash of the machine left of one does not. */
const read = (path: string): Buffer | undefined => {
  try {
    const tar = Fs.readFileSync(path)
    const isWhole =
      tar.length > 2 * block && tar.length % block === 0 && tar.subarray(-2 * block).every((byte) => byte === 0)
    return isWhole && tar.includes("PG_VERSION") ? tar : undefined
  } catch {
    return undefined
  }
}

/** Under its name only when it is whole; where it cannot be kept, the next process makes its own. */
const keep = (path: string | undefined, snapshot: Uint8Array): void => {
  if (path === undefined) return
  const unfinished = join(dirname(path), `unfinished-${randomBytes(6).toString("hex")}`)
  try {
    Fs.mkdirSync(dirname(path), { recursive: true })
    Fs.writeFileSync(unfinished, snapshot)
    Fs.renameSync(unfinished, path)
  } catch {
    Fs.rmSync(unfinished, { force: true })
  }
}
