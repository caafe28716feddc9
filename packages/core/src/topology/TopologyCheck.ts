/**
 * The checks between a topology's definition and the topology.
 *
 * Enters a definition of the right shape. Leaves the topology's parts with every name resolved and every key
 * canonical, or all mistakes, each with the path to its place. No check stops another: a part that fails is left out.
 */
import * as Data from "effect/Data"
import * as Either from "effect/Either"
import * as Id from "./Id.js"
import * as KeyOrder from "./KeyOrder.js"
import * as Keyspace from "./Keyspace.js"
import * as KeyType from "./KeyType.js"
import * as KeyValue from "./KeyValue.js"
import type * as Resolver from "./Resolver.js"
import * as ShardId from "./ShardId.js"
import * as SlotMap from "./SlotMap.js"
import type * as Table from "./Table.js"
import type { Definition } from "./TopologyDefinition.js"

/**
 * One mistake: what kind, where in the definition, and in words.
 *
 * @since 0.1.0
 * @category errors
 */
export interface TopologyProblem {
  readonly _tag: ProblemTag
  readonly path: string
  readonly message: string
}

/**
 * @since 0.1.0
 * @category errors
 */
export type ProblemTag =
  | "NoShards"
  | "InvalidShardId"
  | "DuplicateShard"
  | "UnknownShard"
  | SlotMap.SlotMapProblem["_tag"]
  | "InvalidName"
  | "DuplicateTable"
  | "UnknownKeyspace"
  | "UnknownKeyType"
  | "NondeterministicCollation"
  | "KeyColumnsMismatch"
  | "KeyTypeMismatch"
  | "DuplicateKeyColumn"
  | "InvalidKey"
  | "DuplicatePin"
  | "DuplicateListKey"
  | "RangeEmpty"
  | "RangeOverlap"
  | "InvalidGenerator"

/**
 * Everything that is wrong with a topology.
 *
 * @since 0.1.0
 * @category errors
 */
export class TopologyInvalid extends Data.TaggedError("TopologyInvalid")<{
  readonly problems: ReadonlyArray<TopologyProblem>
}> {
  override get message(): string {
    const lines = this.problems.map((problem) => `- ${problem.path}: ${problem.message} [${problem._tag}]`)
    return [`the topology has ${lines.length} mistake${lines.length === 1 ? "" : "s"}`, ...lines].join("\n")
  }
}

/**
 * The parts of a topology that passed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Checked {
  readonly epoch: number
  readonly shards: ReadonlyArray<ShardId.ShardId>
  readonly slotMap: SlotMap.SlotMap
  readonly meta: ShardId.ShardId
  readonly unlisted: ShardId.ShardId | undefined
  readonly pureFunctions: ReadonlyArray<string>
  readonly keyspaces: { readonly [name: string]: Keyspace.Keyspace }
  readonly tables: { readonly [id: string]: Table.Table }
}

/**
 * @since 0.1.0
 * @category validation
 */
export const check = (definition: Definition): Either.Either<Checked, TopologyInvalid> => {
  const problems: Array<TopologyProblem> = []
  const report: Report = (_tag, path, message) => {
    problems.push({ _tag, path, message })
  }
  const shards = checkShards(definition, report)
  const shard = shardOf(definition, report)
  const slotMap = checkSlotMap(definition, shards, shard, report)
  const meta = definition.meta === undefined ? shards[0] : shard(definition.meta, "meta")
  const unlisted = definition.unlisted === undefined ? undefined : shard(definition.unlisted, "unlisted")
  const pureFunctions = checkFunctions(definition.pureFunctions ?? [], report)
  const keyspaces = checkKeyspaces(definition, shard, report)
  const tables = checkTables(definition, keyspaces, shard, report)
  if (problems.length > 0) return Either.left(new TopologyInvalid({ problems }))
  if (slotMap === undefined || meta === undefined)
    throw new Error("a topology without problems has a slot map and meta")
  return Either.right({
    epoch: slotMap.epoch,
    shards,
    slotMap,
    meta,
    unlisted,
    pureFunctions,
    keyspaces: Object.fromEntries(keyspaces),
    tables: Object.fromEntries(tables.map((table) => [table.id, table]))
  })
}

/**
 * `schema.name` or `name` (in `public`), as the catalog spells it; a part with a dot or a quote in it is written in
 * double quotes, as in SQL, but unquoted parts are not folded to lower case.
 *
 * @since 0.1.0
 * @category parsing
 */
export const parseName = (text: string): { readonly schema: string; readonly name: string } | undefined => {
  const match = namePattern.exec(text)
  if (match === null) return undefined
  const parts = match
    .slice(1)
    .filter((part) => part !== undefined)
    .map((part) => (part.startsWith('"') ? part.slice(1, -1).replaceAll('""', '"') : part))
  const [first, second] = parts
  if (first === undefined) return undefined
  return second === undefined ? { schema: "public", name: first } : { schema: first, name: second }
}

const namePart = '("(?:[^"]|"")+"|[^".\\s]+)'
const namePattern = new RegExp(`^${namePart}(?:\\.${namePart})?$`)

type Report = (tag: ProblemTag, path: string, message: string) => void
/** The shard of that name; reports and returns undefined when there is none. */
type FindShard = (name: string, path: string) => ShardId.ShardId | undefined

const checkShards = (definition: Definition, report: Report): ReadonlyArray<ShardId.ShardId> => {
  if (definition.shards.length === 0) report("NoShards", "shards", "a topology needs at least one shard")
  const seen = new Set<string>()
  const valid: Array<ShardId.ShardId> = []
  for (const [index, name] of definition.shards.entries()) {
    if (seen.has(name)) {
      report("DuplicateShard", `shards[${index}]`, `shard "${name}" is listed twice`)
      continue
    }
    seen.add(name)
    if (ShardId.is(name)) valid.push(name)
    else report("InvalidShardId", `shards[${index}]`, `"${name}" is no shard id: a letter, then letters, digits, _`)
  }
  return valid
}

const shardOf =
  (definition: Definition, report: Report): FindShard =>
  (name, path) => {
    if (!definition.shards.includes(name)) {
      report("UnknownShard", path, `shard "${name}" is not among the shards (${definition.shards.join(", ")})`)
      return undefined
    }
    return ShardId.is(name) ? name : undefined
  }

const checkSlotMap = (
  definition: Definition,
  shards: ReadonlyArray<ShardId.ShardId>,
  shard: FindShard,
  report: Report
): SlotMap.SlotMap | undefined => {
  const { epoch, slots } = definition
  const size = { slots, epoch }
  const [first, ...rest] = shards
  if (first === undefined) return undefined
  // An even map has neither holes nor overlaps: only its size can be wrong, which the first shard's map shows as well.
  const written = definition.slotMap?.map((range, index) => ({
    from: range.from,
    to: range.to,
    shard: shard(range.shard, `slotMap[${index}].shard`) ?? first
  }))
  const result = SlotMap.fromRanges(written ?? [{ from: 0, to: slots ?? SlotMap.slotsDefault, shard: first }], size)
  if (Either.isRight(result)) return written === undefined ? SlotMap.even([first, ...rest], size) : result.right
  for (const problem of result.left) {
    const path = problem._tag === "InvalidSlots" ? "slots" : problem._tag === "InvalidEpoch" ? "epoch" : "slotMap"
    report(problem._tag, path, SlotMap.problemMessage(problem))
  }
  return undefined
}

const checkFunctions = (names: ReadonlyArray<string>, report: Report): ReadonlyArray<string> =>
  names.flatMap((text, index) => {
    const name = parseName(text)
    if (name !== undefined) return [`${name.schema}.${name.name}`]
    report("InvalidName", `pureFunctions[${index}]`, `"${text}" is no function name: write schema.function or schema.*`)
    return []
  })

const checkKeyspaces = (
  definition: Definition,
  shard: FindShard,
  report: Report
): ReadonlyMap<string, Keyspace.Keyspace> => {
  const checked = new Map<string, Keyspace.Keyspace>()
  for (const [name, keyspace] of Object.entries(definition.keyspaces ?? {})) {
    const path = `keyspaces.${name}`
    if (name === "") report("InvalidName", path, "a keyspace needs a name")
    const key = checkTypes(keyspace.key, `${path}.key`, report)
    if (keyspace.key.length === 0 || keyspace.key.length > Keyspace.columnsMax) {
      report(
        "KeyColumnsMismatch",
        `${path}.key`,
        `a key has 1 to ${Keyspace.columnsMax} columns, not ${keyspace.key.length}`
      )
      continue
    }
    if (key === undefined) continue
    const pins = checkPins(keyspace.pins ?? [], key, `${path}.pins`, shard, report)
    const resolver = checkResolver(keyspace.resolver, key, `${path}.resolver`, shard, report)
    if (resolver !== undefined) checked.set(name, { name, key, resolver, pins })
  }
  return checked
}

/** The declared types; undefined when one of them cannot be a key. */
const checkTypes = (
  declared: Keyspace.UncheckedKey,
  path: string,
  report: Report
): ReadonlyArray<KeyType.KeyType> | undefined => {
  const types = declared.map((declaration, index) => checkType(declaration, `${path}[${index}]`, report))
  return types.every((type) => type !== undefined) ? types : undefined
}

const checkType = (
  declaration: Keyspace.KeyDeclaration<string>,
  path: string,
  report: Report
): KeyType.KeyType | undefined => {
  const type = typeof declaration === "string" ? declaration : declaration.type
  const collation = typeof declaration === "string" ? undefined : declaration.collation
  if (collation !== undefined && !collation.deterministic) {
    report(
      "NondeterministicCollation",
      path,
      `the collation "${collation.name}" is nondeterministic: strings it calls equal would hash to different shards`
    )
  }
  if (KeyType.is(type)) return type
  report("UnknownKeyType", path, `"${type}" is no type of a shard key: use ${KeyType.all.join(", ")}`)
  return undefined
}

/** The canonical key; reports and returns undefined when the value is none. */
const checkKey = (
  types: ReadonlyArray<KeyType.KeyType>,
  value: unknown,
  path: string,
  report: Report
): KeyValue.KeyTuple | undefined => {
  const key = KeyValue.decode(types, value)
  if (Either.isRight(key)) return key.right
  report("InvalidKey", path, key.left)
  return undefined
}

const checkPins = (
  pins: ReadonlyArray<Keyspace.PinDefinition>,
  types: ReadonlyArray<KeyType.KeyType>,
  path: string,
  findShard: FindShard,
  report: Report
): ReadonlyArray<Resolver.Pin> => {
  const seen = new Set<string>()
  return pins.flatMap((pin, index) => {
    const key = checkKey(types, pin.key, `${path}[${index}].key`, report)
    const shard = findShard(pin.shard, `${path}[${index}].shard`)
    if (key !== undefined && seen.has(KeyValue.identity(key))) {
      report("DuplicatePin", `${path}[${index}].key`, `the key ${KeyValue.format(key)} is pinned twice`)
    }
    if (key !== undefined) seen.add(KeyValue.identity(key))
    return key === undefined || shard === undefined ? [] : [{ key, shard }]
  })
}

const checkResolver = (
  resolver: Keyspace.ResolverDefinition,
  types: ReadonlyArray<KeyType.KeyType>,
  path: string,
  shard: FindShard,
  report: Report
): Resolver.Resolver | undefined => {
  switch (resolver._tag) {
    case "Hash":
      return resolver
    case "Range":
      return checkRange(resolver.bounds, types, path, shard, report)
    case "List":
      return checkList(resolver, types, path, shard, report)
    case "Lookup":
      if (parseName(resolver.directory) === undefined) {
        report("InvalidName", `${path}.directory`, `"${resolver.directory}" is no table name`)
      }
      return resolver
    case "Custom":
      if (resolver.name === "") report("InvalidName", `${path}.name`, "a custom resolver needs a name")
      return resolver
  }
}

const checkList = (
  list: Extract<Keyspace.ResolverDefinition, { readonly _tag: "List" }>,
  types: ReadonlyArray<KeyType.KeyType>,
  path: string,
  findShard: FindShard,
  report: Report
): Resolver.List => {
  const seen = new Set<string>()
  const entries = list.entries.flatMap((entry, index) => {
    const shard = findShard(entry.shard, `${path}.entries[${index}].shard`)
    const keys = entry.keys.flatMap((value, position) => {
      const at = `${path}.entries[${index}].keys[${position}]`
      const key = checkKey(types, value, at, report)
      if (key === undefined) return []
      if (seen.has(KeyValue.identity(key))) {
        report("DuplicateListKey", at, `the key ${KeyValue.format(key)} is listed twice`)
      }
      seen.add(KeyValue.identity(key))
      return [key]
    })
    return shard === undefined ? [] : [{ keys, shard }]
  })
  const otherwise = list.otherwise === undefined ? undefined : findShard(list.otherwise, `${path}.otherwise`)
  return { _tag: "List", entries, otherwise }
}

const checkRange = (
  written: ReadonlyArray<Keyspace.BoundDefinition>,
  types: ReadonlyArray<KeyType.KeyType>,
  path: string,
  findShard: FindShard,
  report: Report
): Resolver.Range | undefined => {
  const [type, ...others] = types
  if (type === undefined || others.length > 0) {
    report("KeyColumnsMismatch", path, `ranges order keys of one column, but the key has ${types.length}`)
    return undefined
  }
  const compare = KeyOrder.compare(type)
  const bounds = written.flatMap((bound, index): ReadonlyArray<Resolver.RangeBound> => {
    const at = `${path}.bounds[${index}]`
    const shard = findShard(bound.shard, `${at}.shard`)
    const from = checkEnd(types, bound.from, `${at}.from`, report)
    const to = checkEnd(types, bound.to, `${at}.to`, report)
    // A bound with a mistake of its own would only seem to overlap others.
    if (shard === undefined || from === invalid || to === invalid) return []
    if (from === undefined || to === undefined || compare(from, to) < 0) return [{ from, to, shard }]
    report("RangeEmpty", at, `the range from ${from} to ${to} is empty`)
    return []
  })
  bounds.sort((left, right) => compareFrom(compare, left, right))
  reportOverlaps(bounds, compare, `${path}.bounds`, report)
  return { _tag: "Range", bounds }
}

type Compare = (left: string, right: string) => -1 | 0 | 1
const invalid = Symbol("invalid")

const checkEnd = (
  types: ReadonlyArray<KeyType.KeyType>,
  value: unknown,
  path: string,
  report: Report
): string | undefined | typeof invalid => {
  if (value === undefined) return undefined
  const key = checkKey(types, value, path, report)
  if (key === undefined) return invalid
  const [part] = key
  if (typeof part === "string") return part
  report("InvalidKey", path, "NULL is in no range: it cannot be a bound")
  return invalid
}

const compareFrom = (compare: Compare, left: Resolver.RangeBound, right: Resolver.RangeBound): number => {
  if (left.from === undefined) return right.from === undefined ? 0 : -1
  return right.from === undefined ? 1 : compare(left.from, right.from)
}

/** One walk over the bounds, by where they begin: each is held against the one that reaches farthest so far. */
const reportOverlaps = (
  bounds: ReadonlyArray<Resolver.RangeBound>,
  compare: Compare,
  path: string,
  report: Report
): void => {
  let farthest: Resolver.RangeBound | undefined
  for (const bound of bounds) {
    if (farthest !== undefined && overlaps(compare, farthest, bound)) {
      report("RangeOverlap", path, `the ranges ${rangeText(farthest)} and ${rangeText(bound)} overlap`)
    }
    const reaches =
      farthest === undefined ||
      (farthest.to !== undefined && (bound.to === undefined || compare(bound.to, farthest.to) > 0))
    if (reaches) farthest = bound
  }
}

/** `left` begins no later than `right`. */
const overlaps = (compare: Compare, left: Resolver.RangeBound, right: Resolver.RangeBound): boolean =>
  left.to === undefined || right.from === undefined || compare(left.to, right.from) > 0

const rangeText = (range: Resolver.RangeBound): string =>
  `[${range.from ?? "..."}, ${range.to ?? "..."}) of ${range.shard}`

const checkTables = (
  definition: Definition,
  keyspaces: ReadonlyMap<string, Keyspace.Keyspace>,
  shard: FindShard,
  report: Report
): ReadonlyArray<Table.Table> => {
  const names = new Map<string, string>()
  return Object.entries(definition.tables ?? {}).flatMap(([id, table]): ReadonlyArray<Table.Table> => {
    const path = `tables.${id}`
    const name = parseName(id)
    if (name === undefined) {
      report("InvalidName", path, `"${id}" is no table name: write table or schema.table`)
      return []
    }
    const full = JSON.stringify([name.schema, name.name])
    const other = names.get(full)
    if (other !== undefined) report("DuplicateTable", path, `"${other}" and "${id}" are the same table`)
    names.set(full, id)
    switch (table._tag) {
      case "Reference":
        return [{ _tag: "Reference", id, ...name, ...checkGenerators(table, path, report) }]
      case "Single": {
        const home = shard(table.shard, `${path}.shard`)
        return home === undefined ? [] : [{ _tag: "Single", id, ...name, shard: home }]
      }
      case "Sharded": {
        const key = checkTableKey(table, definition, keyspaces, path, report)
        const acknowledge = table.acknowledge ?? []
        const generate = checkGenerators(table, path, report)
        return key === undefined
          ? []
          : [{ _tag: "Sharded", id, ...name, ...key, keyspace: table.keyspace, acknowledge, ...generate }]
      }
    }
  })
}

/** Absent where there are none: a topology without generators stays as it was. */
const checkGenerators = (
  { generate }: Table.ShardedDefinition | Table.ReferenceDefinition,
  path: string,
  report: Report
): { readonly generate?: Id.Generators } => {
  for (const [column, generator] of Object.entries(generate ?? {})) {
    const at = `${path}.generate.${column}`
    if (generator._tag !== "Sequence") continue
    const { block, name, start } = generator
    if (!Number.isInteger(block) || block < 1 || block > Id.blockMax)
      report("InvalidGenerator", at, `a block has 1 to ${Id.blockMax} numbers, not ${block}`)
    if (!Number.isSafeInteger(start)) report("InvalidGenerator", at, `a sequence cannot start at ${start}`)
    if (name === "") report("InvalidGenerator", at, "a sequence needs a name, or none")
  }
  return generate === undefined || Object.keys(generate).length === 0 ? {} : { generate }
}

const checkTableKey = (
  table: Table.ShardedDefinition,
  definition: Definition,
  keyspaces: ReadonlyMap<string, Keyspace.Keyspace>,
  path: string,
  report: Report
): Pick<Table.Sharded, "columns" | "types"> | undefined => {
  const columns = keyColumns(table.key)
  for (const [index, { column }] of columns.entries()) {
    if (columns.findIndex((other) => other.column === column) === index) continue
    report("DuplicateKeyColumn", `${path}.key`, `the column "${column}" is in the key twice`)
  }
  const written = columns.map(({ column, type }) =>
    type === undefined ? undefined : checkType(type, `${path}.key.${column}`, report)
  )
  if (!Object.hasOwn(definition.keyspaces ?? {}, table.keyspace)) {
    const known = Object.keys(definition.keyspaces ?? {}).join(", ")
    report("UnknownKeyspace", `${path}.keyspace`, `keyspace "${table.keyspace}" is not among the keyspaces (${known})`)
    return undefined
  }
  // A keyspace with mistakes of its own has been reported; nothing can be compared with it.
  const keyspace = keyspaces.get(table.keyspace)
  if (keyspace === undefined) return undefined
  if (columns.length !== keyspace.key.length) {
    report(
      "KeyColumnsMismatch",
      `${path}.key`,
      `the key has ${columns.length} columns (${columns.map(({ column }) => column).join(", ")}), but keyspace ` +
        `"${keyspace.name}" has ${keyspace.key.length} (${keyspace.key.join(", ")})`
    )
    return undefined
  }
  const types = keyspace.key.map((type, index) => written[index] ?? type)
  for (const [index, type] of keyspace.key.entries()) {
    const own = types[index] ?? type
    if (KeyType.family(own) === KeyType.family(type)) continue
    report(
      "KeyTypeMismatch",
      `${path}.key.${columns[index]?.column ?? index}`,
      `the column is ${own}, but keyspace "${keyspace.name}" has ${type} there: equal values would hash apart`
    )
  }
  return { columns: columns.map(({ column }) => column), types }
}

const keyColumns = (
  key: Table.KeyDefinition<string>
): ReadonlyArray<{ readonly column: string; readonly type: Keyspace.KeyDeclaration<string> | undefined }> => {
  if (typeof key === "string") return [{ column: key, type: undefined }]
  if (isColumnList(key)) {
    return key.map((item) => (typeof item === "string" ? { column: item, type: undefined } : item))
  }
  return Object.entries(key).map(([column, type]) => ({ column, type }))
}

const isColumnList = (
  key: Exclude<Table.KeyDefinition<string>, string>
): key is ReadonlyArray<Table.ColumnDefinition<string>> => Array.isArray(key)
