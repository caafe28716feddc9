// PGlite started from a data folder that is there already: making one takes seconds, loading one some tenths of a second.
// Enters: nothing; leaves: instances of PGlite, each with a data folder of its own. Always: the compiled modules are shared by
// all of this process; the data folder comes with the package, packed, and is kept unpacked for all processes where it can be
// (`templateCache`). Where it fits another PGlite than the one that is there, or did not come (this repository), it is made once.
// Approximates: from a snapshot there are no files of template0 and template1, nor log ahead of time, which would be two thirds
// of it. A further database cannot be made, and nobody could connect to it.
import type { PGlite, PGliteOptions } from "@electric-sql/pglite"
import { globalValue } from "effect/GlobalValue"
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs"
import { createRequire } from "node:module"
import { basename, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { gunzipSync, gzipSync } from "node:zlib"
import * as TemplateCache from "./templateCache.js"

/** The first one of a machine is made, and the others are copies of what it was then. */
export const create = async (): Promise<PGlite> => {
  const loaded = await globalValue("@shardlayer/testing/virtualSnapshot", load)
  if (loaded.snapshot !== undefined) return loaded.create({ loadDataDir: await loaded.snapshot })
  const first = await loaded.create({ initDbStartParams })
  loaded.snapshot = dumped(first).then((snapshot) => {
    keep(loaded.path, snapshot)
    return new Blob([snapshot])
  })
  await loaded.snapshot
  return first
}

/** Writes what comes with the package, for whoever packs it. */
export const pack = async (): Promise<string> => {
  const { create, name } = await load()
  const file = packed(name)
  const first = await create({ initDbStartParams })
  try {
    write(file, gzipSync(await dumped(first), { level: 9 }))
  } finally {
    await first.close()
  }
  for (const other of Fs.readdirSync(dirname(file))) {
    if (other !== basename(file)) Fs.rmSync(join(dirname(file), other))
  }
  return file
}

const initDbStartParams = ["--wal-segsize=1"]

interface Loaded {
  readonly create: (options: PGliteOptions) => Promise<PGlite>
  readonly name: string
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
  const name = nameOf(folder)
  const cache = TemplateCache.folder()
  const path = cache === undefined ? undefined : join(cache, name)
  const kept = (path === undefined ? undefined : read(path)) ?? unpacked(name, path)
  return {
    name,
    path,
    snapshot: kept === undefined ? undefined : Promise.resolve(new Blob([kept])),
    create: (options) => PGlite.create({ startParams, pgliteWasmModule, initdbWasmModule, fsBundle, ...options })
  }
}

/** One a version, told by the programs themselves. */
const nameOf = (folder: string): string => {
  const sizes = ["pglite.wasm", "initdb.wasm", "pglite.data"].map((name) => Fs.statSync(join(folder, name)).size)
  return `virtual-${layoutVersion}-${sizes.join("-")}.tar`
}

/** Beside `dist` and `src`. */
const packed = (name: string): string => fileURLToPath(new URL(`../../snapshot/${name}.gz`, import.meta.url))

/** What came with the package, if it fits; unpacked for the next process, too. */
const unpacked = (name: string, path: string | undefined): Uint8Array | undefined => {
  const file = packed(name)
  if (!Fs.existsSync(file)) return undefined
  const tar = gunzipSync(Fs.readFileSync(file))
  keep(path, tar)
  return tar
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

/** Where it cannot be kept, the next process makes its own. */
const keep = (path: string | undefined, snapshot: Uint8Array): void => {
  if (path === undefined) return
  try {
    write(path, snapshot)
  } catch {
    // As if there were no cache.
  }
}

/** Under its name only when it is whole. */
const write = (path: string, bytes: Uint8Array): void => {
  const unfinished = join(dirname(path), `unfinished-${randomBytes(6).toString("hex")}`)
  try {
    Fs.mkdirSync(dirname(path), { recursive: true })
    Fs.writeFileSync(unfinished, bytes)
    Fs.renameSync(unfinished, path)
  } finally {
    Fs.rmSync(unfinished, { force: true })
  }
}
