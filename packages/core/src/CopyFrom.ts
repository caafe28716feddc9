/**
 * `router.copyFrom`: a stream of rows, split by key over the shards, each of which takes its part with COPY.
 *
 * Enters: a table, columns, rows or bytes. Leaves: how many rows each shard has stored. Holds:
 * - all of it happens, in the transaction that is open or in one of its own, or nothing (`atomic: false` says otherwise);
 * - what an INSERT of the same columns is refused for, this is refused for; a row whose key cannot be read exactly is
 *   never sent;
 * - a column that the topology generates and that is not named gets a value a row, before its shard is found;
 * - a shard's COPY begins with its first row, and all run at the same time; what is read ahead is bounded a shard, and
 *   the slowest holds up the source;
 * - the first failure, of the source, a row or a shard, interrupts the source and all COPYs before this ends.
 *
 * @since 0.1.0
 */
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { CopyFormats, CopyProblem, CopyReader, CopyRecords } from "./Dialect.js"
import * as CopyOwners from "./internal/copyOwners.js"
import { CopyWriter } from "./internal/copyWriter.js"
import * as Drawing from "./internal/drawing.js"
import { aloneIn, type Stages, unassigned } from "./internal/stages.js"
import * as LocalTransaction from "./LocalTransaction.js"
import type * as Bind from "./plan/Bind.js"
import type { CopyData, CopyPlan } from "./plan/Copy.js"
import type { ShardedReference } from "./plan/Plan.js"
import * as Policy from "./Policy.js"
import * as ShardCall from "./ShardCall.js"
import * as ShardContext from "./ShardContext.js"
import { type ShardSession, unbounded } from "./ShardConnection.js"
import {
  cannotCopy,
  CopiesDiffer,
  CopyIncomplete,
  CopyRowInvalid,
  KeyNotPinned,
  KeyUnassigned,
  OperationRefused,
  ParticipantLost,
  RowBelongsElsewhere,
  ScatterRefused,
  type ShardError,
  StatementFailed
} from "./ShardError.js"
import * as KeyValue from "./topology/KeyValue.js"
import * as Resolver from "./topology/Resolver.js"
import type { ShardId } from "./topology/ShardId.js"
import type { Topology } from "./topology/Topology.js"
import type { Transactions } from "./Transactions.js"

/**
 * Values in the order of the columns, or by their names. A value that is missing by name is NULL, not the default.
 *
 * @since 0.1.0
 * @category models
 */
export type Row = ReadonlyArray<unknown> | { readonly [column: string]: unknown }

/**
 * Rows and bytes that were sent to one shard, or to all.
 *
 * @since 0.1.0
 * @category models
 */
export interface Sent {
  readonly rows: number
  readonly bytes: number
}

/**
 * How far a COPY is: `rows` of the input that were read, and what was sent of them. Nothing of it is stored before the
 * end.
 *
 * @since 0.1.0
 * @category models
 */
export interface Progress {
  readonly rows: number
  readonly byShard: ReadonlyMap<ShardId, Sent>
}

/** @since 0.1.0 @category models */
export interface Options {
  /** `false`: each shard commits by itself, once all have taken their rows. Default true. */
  readonly atomic?: boolean | undefined
  /** Is kept up to date, once for each piece of the input. A `SubscriptionRef` tells of it as a stream. */
  readonly progress?: Ref.Ref<Progress> | undefined
}

/**
 * For input that is bytes.
 *
 * @since 0.1.0
 * @category models
 */
export interface BytesOptions extends Options, CopyData {}

/**
 * Rows that are stored. Of a reference table `rows` counts each once, and each shard has all.
 *
 * @since 0.1.0
 * @category models
 */
export interface Result {
  readonly rows: number
  readonly byShard: ReadonlyMap<ShardId, number>
}

/** @since 0.1.0 @category models */
export interface CopyFrom {
  <E, R>(
    table: string | { readonly id: string },
    columns: ReadonlyArray<string>,
    rows: Stream.Stream<Row, E, R>,
    options?: Options & { readonly format?: undefined }
  ): Effect.Effect<Result, E | ShardError, R>
  <E, R>(
    table: string | { readonly id: string },
    columns: ReadonlyArray<string>,
    bytes: Stream.Stream<Uint8Array, E, R>,
    options: BytesOptions
  ): Effect.Effect<Result, E | ShardError, R>
}

/** @since 0.1.0 @category models */
export interface Services {
  readonly stages: Stages
  readonly formats: CopyFormats
  readonly transaction: Transactions["transaction"]
}

/** @since 0.1.0 @category constructors */
export const make =
  (services: Services): CopyFrom =>
  <E, R>(
    table: string | { readonly id: string },
    columns: ReadonlyArray<string>,
    input: Stream.Stream<Row | Uint8Array, E, R>,
    options: Options & { readonly format?: CopyData["format"] | undefined; readonly header?: CopyData["header"] } = {}
  ): Effect.Effect<Result, E | ShardError, R> =>
    Effect.withFiberRuntime<Result, E | ShardError, R>((fiber) => {
      const { stages, transaction } = services
      const request: Request = {
        table: typeof table === "string" ? table : table.id,
        columns,
        data: options.format === undefined ? undefined : { format: options.format, header: options.header },
        progress: options.progress
      }
      const open = LocalTransaction.find(fiber.currentContext, stages.owner)
      const place = placeOf(stages, ShardContext.of(fiber))
      const refusal = refusalOf(request, options, open)
      if (refusal !== undefined) return Effect.fail(refusal)
      return Effect.flatMap(planned(services, request, place), (plan): Effect.Effect<Result, E | ShardError, R> => {
        const load = { services, request, place, plan, input }
        if (options.atomic === false) return apart(load)
        return open === undefined ? transaction(inside(load, true)) : inside(load, false)
      })
    })

interface Request {
  readonly table: string
  readonly columns: ReadonlyArray<string>
  /** Undefined for values. */
  readonly data: CopyData | undefined
  readonly progress: Ref.Ref<Progress> | undefined
}

const refused = (reason: string) => new OperationRefused({ operation: "router.copyFrom", reason })

const refusalOf = (
  { columns }: Request,
  { atomic }: Options,
  open: LocalTransaction.Level | undefined
): ShardError | undefined => {
  if (columns.length === 0) return refused("it names no column")
  if (atomic === false && open !== undefined) return refused("in a transaction all of it is committed, or nothing")
  return undefined
}

/** Where this fiber may write. */
interface Place {
  readonly topology: Topology
  readonly policy: Policy.Policy
  /** The only shard there is: nothing is looked at. */
  readonly alone: ShardId | undefined
  readonly pin: ShardContext.Pin | undefined
  readonly unchecked: boolean
}

const placeOf = (stages: Stages, { pin, policy, unchecked }: ShardContext.ShardContext): Place => {
  const topology = stages.manager.topology()
  return {
    topology,
    policy: Policy.within(stages.policy, policy),
    alone: aloneIn(topology, pin),
    pin,
    unchecked
  }
}

/** Where the rows go, each by itself or all the same way. */
type Way =
  | { readonly _tag: "To"; readonly shards: readonly [ShardId, ...ReadonlyArray<ShardId>] }
  | { readonly _tag: "ByKey"; readonly reference: ShardedReference; readonly only: ShardId | undefined }

interface Planned extends CopyPlan {
  readonly way: Way
  /** The row of the table in messages. */
  readonly table: string
}

const planned = (
  { stages }: Services,
  { columns, data, table }: Request,
  { alone, pin, policy, topology, unchecked }: Place
): Effect.Effect<Planned, ShardError> => {
  const shard = pin?._tag === "Shard" ? pin.shard : undefined
  const several = pin === undefined && alone === undefined
  const target = {
    table,
    columns,
    format: data?.format ?? "text",
    several,
    unseen: alone !== undefined,
    generates: true
  } as const
  const made = Effect.filterOrFail(
    stages.planner.copyFrom(target),
    ({ draws }) => draws.length === 0 || stages.ids !== undefined,
    Drawing.noIds
  )
  const to = (plan: CopyPlan, ...shards: readonly [ShardId, ...ReadonlyArray<ShardId>]): Planned => ({
    ...plan,
    table,
    way: { _tag: "To", shards }
  })
  if (alone !== undefined) return Effect.map(made, (plan) => to(plan, alone))
  if (shard !== undefined && unchecked) {
    return Effect.map(stages.planner.copyFrom({ ...target, unseen: true, generates: false }), (plan) => to(plan, shard))
  }
  return Effect.flatMap(made, (copy): Effect.Effect<Planned, ShardError> => {
    const { plan } = copy
    if (copy.pinned !== undefined) {
      if (shard !== undefined) return Effect.fail(copy.pinned)
      if (pin?._tag === "Key") return Effect.fail(notOfKey(table, pin, "its key is generated"))
    }
    const admitted = shard === undefined ? Effect.void : pinnable(stages, copy.insert, shard)
    switch (plan?._tag) {
      case "Fixed":
        if (pin?._tag === "Key") return Effect.fail(notOfKey(table, pin, "a single table does not belong to a key"))
        return Effect.as(admitted, to(copy, plan.shard))
      case "Everywhere": {
        if (pin?._tag === "Key") return Effect.fail(notOfKey(table, pin, "all shards would be written"))
        const [first, ...others] = topology.shards
        if (first === undefined) throw new Error("a topology has no shards")
        return Effect.as(admitted, to(copy, first, ...others))
      }
      case "Routed": {
        const reference = plan.references.at(-1)
        if (reference === undefined) throw new Error("rows of a sharded table without their table")
        if (several && policy.scatter === "refuse") {
          const tables = [{ table: reference.table, columns: reference.columns }]
          return Effect.fail(
            new ScatterRefused({ rule: "scatter", shards: topology.shards, tables, sql: copy.statement })
          )
        }
        return Effect.as(admitted, { ...copy, table, way: { _tag: "ByKey", reference, only: shard } })
      }
      case "AnyShard":
      case "Fed":
      case "Sequence":
      case "Schema":
      case "List":
      case undefined:
        throw new Error("an INSERT of rows is no read")
    }
  })
}

/** May it run under `onShard` at all? Its rows are looked at one by one. */
const pinnable = (stages: Stages, insert: string, shard: ShardId): Effect.Effect<void, ShardError> =>
  Effect.flatMap(stages.planner.classify(insert), ({ verdict }) => {
    if (verdict._tag === "Refuse") return Effect.fail(verdict.refusal)
    return verdict._tag === "OnlyOn" && verdict.shard !== shard ? Effect.fail(verdict.refusal) : Effect.void
  })

type KeyPin = Extract<ShardContext.Pin, { readonly _tag: "Key" }>

const notOfKey = (table: string, { key }: KeyPin, reason: string) => new KeyNotPinned({ table, key, reason })

/** What is known before the first row. */
interface Loading {
  readonly services: Services
  readonly request: Request
  readonly place: Place
  readonly plan: Planned
}

interface Load<E, R> extends Loading {
  readonly input: Stream.Stream<Row | Uint8Array, E, R>
}

/** In the innermost level of the transaction. What fails here has failed it, as a statement that fails does. */
const inside = <E, R>(load: Load<E, R>, isOwn: boolean): Effect.Effect<Result, E | ShardError, R> =>
  Effect.withFiberRuntime<Result, E | ShardError, R>((fiber) => {
    const { changes, owner } = load.services.stages
    const level = LocalTransaction.find(fiber.currentContext, owner)
    if (level === undefined) throw new Error("a transaction left no level in the context")
    const target: Target = {
      join: (shard) => {
        const joined = mayGrow(load) ? level.joinOpen(shard) : level.join(shard)
        return isOwn ? Effect.mapError(joined, (error) => lost(shard, error)) : joined
      },
      copy: (shard, feed) => {
        const stored = level.copyFrom(shard, load.plan.statement, feed)
        // All is rolled back then, which nobody else's transaction can be told to have been.
        return isOwn ? Effect.mapError(stored, (error) => lost(shard, error)) : stored
      },
      moment: (shard, sql) => level.connectionFor(level.shard() ?? shard).executeText(sql, [], unbounded)
    }
    const run = Effect.map(Effect.zipRight(level.stillOpen, running(load, target)), resultOf(load))
    const written = load.plan.plan?.footprint.writes ?? "unknown"
    return Effect.onError(changes.after(written, level, run), () => level.doom)
  })

/** Rows may go to more shards than the first ones do. */
const mayGrow = ({ plan: { way } }: Loading): boolean =>
  way._tag === "To" ? way.shards.length > 1 : way.only === undefined

const lost = (shard: ShardId, error: ShardError): ShardError =>
  error._tag === "ShardUnavailable" && error.sent ? new ParticipantLost({ shard, cause: error }) : error

/** Each shard in a transaction of its own. */
const apart = <E, R>(load: Load<E, R>): Effect.Effect<Result, E | ShardError, R> => {
  const { changes, manager } = load.services.stages
  const sessions = new Map<ShardId, ShardSession>()
  const opening = Effect.unsafeMakeSemaphore(1)
  const sessionOf = (shard: ShardId, scope: Scope.Scope): Effect.Effect<ShardSession, ShardError> =>
    opening.withPermits(1)(
      Effect.suspend(() => {
        const known = sessions.get(shard)
        if (known !== undefined) return Effect.succeed(known)
        const reserved = Effect.flatMap(manager.driver(shard), (driver) => driver.reserve)
        return Effect.tap(
          Effect.tap(Effect.provideService(reserved, Scope.Scope, scope), (session) => session.control("BEGIN")),
          (session) => Effect.sync(() => sessions.set(shard, session))
        )
      })
    )
  const loading = scoping((scope) =>
    Effect.flatMap(
      running(load, {
        join: (shard) => Effect.asVoid(sessionOf(shard, scope)),
        copy: (shard, feed) =>
          Effect.flatMap(
            sessionOf(shard, scope),
            (session) => session.copyFrom?.(load.plan.statement, feed) ?? Effect.fail(cannotCopy(shard))
          ),
        moment: (shard, sql) =>
          Effect.flatMap(sessionOf(shard, scope), (session) => session.executeText(sql, [], unbounded))
      }),
      (counts) => Effect.as(committed(load.plan.table, sessions), resultOf(load)(counts))
    )
  )
  return changes.after(load.plan.plan?.footprint.writes ?? "unknown", undefined, loading)
}

/** All at once; each is waited for, whatever the others say. */
const committed = (table: string, sessions: ReadonlyMap<ShardId, ShardSession>): Effect.Effect<void, ShardError> =>
  Effect.uninterruptible(
    Effect.flatMap(
      Effect.forEach(
        sessions,
        ([shard, session]) => Effect.map(Effect.either(session.commit), (end) => ({ shard, end })),
        {
          concurrency: "unbounded"
        }
      ),
      (ends) => {
        const failed = ends.flatMap(({ end, shard }) => (Either.isLeft(end) ? [{ shard, error: end.left }] : []))
        const [first] = failed
        if (first === undefined) return Effect.void
        return Effect.fail(
          new CopyIncomplete({
            table,
            committed: ends.flatMap(({ end, shard }) => (Either.isRight(end) ? [shard] : [])),
            unknown: failed.flatMap(({ error, shard }) => (error._tag === "CommitUnknown" ? [shard] : [])),
            cause: first.error
          })
        )
      }
    )
  )

const resultOf =
  ({ plan: { way } }: Loading) =>
  (byShard: ReadonlyMap<ShardId, number>): Result => {
    const counts = [...byShard.values()]
    const isCopies = way._tag === "To" && way.shards.length > 1
    return {
      rows: isCopies ? (counts[0] ?? 0) : counts.reduce((sum, count) => sum + count, 0),
      byShard: new Map(byShard)
    }
  }

/** What runs on a shard. */
interface Target {
  readonly join: (shard: ShardId) => Effect.Effect<void, ShardError>
  readonly copy: (shard: ShardId, feed: CopyWriter) => Effect.Effect<number, ShardError>
  readonly moment: (
    shard: ShardId,
    sql: string
  ) => Effect.Effect<{ readonly rows: ReadonlyArray<ReadonlyArray<string | null>> }, ShardError>
}

interface Writing {
  readonly feed: CopyWriter
  readonly fiber: Fiber.RuntimeFiber<number, ShardError>
}

/** The COPYs of all shards that rows go to, and how many rows each has stored. */
const running = <E, R>(
  load: Load<E, R>,
  target: Target
): Effect.Effect<ReadonlyMap<ShardId, number>, E | ShardError, R> =>
  scoping((scope) =>
    Effect.gen(function* () {
      const failed = yield* Deferred.make<never, ShardError>()
      const split = new Split(load, target, scope, failed)
      const reading = Effect.zipRight(
        Stream.runForEachChunk(load.input, (chunk) => split.piece(Chunk.toReadonlyArray(chunk))),
        split.end
      )
      // A COPY that fails is not waited for until more of its rows come.
      return yield* Effect.raceFirst(reading, Deferred.await(failed))
    })
  )

/** A scope that the input does not see. */
const scoping = <A, E, R>(use: (scope: Scope.Scope) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.acquireUseRelease(Scope.make(), use, Scope.close)

/** Records of one piece, with the values that were drawn for them: a list a column. */
interface Batch {
  readonly records: CopyRecords
  readonly drawn: ReadonlyArray<ReadonlyArray<string>>
}

class Split {
  private readonly writings = new Map<ShardId, Writing>()
  private readonly reader: CopyReader | undefined
  private readonly quick: CopyOwners.Quick
  private suffix: string | undefined
  private rows = 0

  constructor(
    private readonly load: Loading,
    private readonly target: Target,
    private readonly scope: Scope.Scope,
    private readonly failed: Deferred.Deferred<never, ShardError>
  ) {
    this.reader = readerOf(load)
    this.quick = quickOf(load)
    this.suffix = load.plan.moment === undefined ? "" : undefined
  }

  piece(piece: Piece): Effect.Effect<void, ShardError> {
    return Effect.zipRight(
      Effect.suspend(() => (this.reader === undefined ? this.values(piece, 0) : this.bytes(this.reader, piece, 0, 0))),
      this.told
    )
  }

  get end(): Effect.Effect<ReadonlyMap<ShardId, number>, ShardError> {
    return Effect.gen(this, function* () {
      if (this.reader !== undefined) yield* this.all(this.reader.end())
      for (const { feed } of this.writings.values()) feed.end()
      const stored = new Map<ShardId, number>()
      for (const [shard, { fiber }] of this.writings) stored.set(shard, yield* this.within(shard, Fiber.join(fiber)))
      yield* this.alike(stored)
      yield* this.told
      return stored
    })
  }

  private values(rows: Piece, from: number): Effect.Effect<void, ShardError> {
    const { request, services } = this.load
    const records = services.formats.records(request.columns, rows.slice(from, from + batchRows))
    const done = this.all(records)
    return from + batchRows < rows.length ? Effect.flatMap(done, () => this.values(rows, from + batchRows)) : done
  }

  private bytes(reader: CopyReader, piece: Piece, index: number, from: number): Effect.Effect<void, ShardError> {
    const bytes = piece[index]
    if (bytes === undefined) return Effect.void
    if (!(bytes instanceof Uint8Array)) return Effect.fail(this.invalid(0, notBytes))
    const to = from + batchBytes
    const next = to < bytes.length ? ([index, to] as const) : ([index + 1, 0] as const)
    return Effect.flatMap(this.all(reader.push(bytes.subarray(from, to))), () => this.bytes(reader, piece, ...next))
  }

  /** Copies of a reference table have the same rows. */
  private alike(stored: ReadonlyMap<ShardId, number>): Effect.Effect<void, ShardError> {
    const { table, way } = this.load.plan
    const [first, ...others] = stored
    if (way._tag !== "To" || first === undefined) return Effect.void
    const other = others.find(([, rows]) => rows !== first[1])
    if (other === undefined) return Effect.void
    return Effect.fail(new CopiesDiffer({ tables: [table], shards: [first[0], other[0]], rows: [first[1], other[1]] }))
  }

  private all(records: CopyRecords): Effect.Effect<void, ShardError> {
    if (records.count === 0 && records.problem === undefined) return Effect.void
    return Effect.flatMap(this.drawn(records), (batch) => this.placed(batch))
  }

  /** With values of what is generated. What comes behind a row that cannot be sent is not sent either. */
  private drawn(records: CopyRecords): Effect.Effect<Batch, ShardError> {
    const {
      plan: { draws },
      services: { stages }
    } = this.load
    if (draws.length === 0 || records.count === 0) return Effect.succeed({ records, drawn: [] })
    return Effect.map(
      Effect.forEach(draws, (each) => Drawing.draw(stages.ids, each, records.count)),
      (drawn) => ({ records, drawn })
    )
  }

  private placed(batch: Batch): Effect.Effect<void, ShardError> {
    const { way } = this.load.plan
    if (way._tag === "ByKey") {
      return Effect.flatMap(this.owners(batch, way), (owners) => this.sendToOwners(batch, owners, 0))
    }
    const { count, problem } = batch.records
    return problem === undefined ? this.send(batch, () => way.shards, 0) : Effect.fail(this.invalid(count, problem))
  }

  /** The shard of each record. Keys that only a directory knows are asked for together. */
  private owners(
    { drawn, records }: Batch,
    { only, reference }: ByKey
  ): Effect.Effect<ReadonlyArray<ShardId>, ShardError> {
    return Effect.suspend(() => {
      const {
        place: { pin, topology },
        plan: { table },
        request: { columns },
        services: { stages }
      } = this.load
      const keyspace = keyspaceOf(topology, reference)
      const valueAt = (record: number, place: number): unknown =>
        place < columns.length ? records.value(record, place) : drawn[place - columns.length]?.[record]
      const owners: Array<ShardId> = []
      const quick = this.quick(records)
      const asks: Array<{ readonly record: number; readonly ask: Bind.Ask["asks"][number] }> = []
      for (let record = 0; record < records.count; record++) {
        const usual = quick(record)
        if (usual !== undefined) {
          owners[record] = usual
          continue
        }
        const found = CopyOwners.keyOf(reference, keyspace, valueAt, record)
        if (Either.isLeft(found)) return Effect.fail(this.invalid(record, found.left))
        const key = found.right
        const problem = pin?._tag === "Key" ? foreign(pin, reference, key) : undefined
        if (problem !== undefined) return Effect.fail(this.invalid(record, causedBy(problem)))
        const owner = Resolver.owner(topology, keyspace, key)
        if (owner._tag === "None") {
          const cause = new KeyUnassigned({ keyspace: reference.keyspace, key, reason: owner.reason })
          return Effect.fail(this.invalid(record, causedBy(cause)))
        }
        const known = owner._tag === "Shard" ? owner.shard : stages.resolver.resolveCached(owner)
        if (known !== undefined) owners[record] = known
        else if (owner._tag === "Ask") asks.push({ record, ask: owner })
      }
      if (records.problem !== undefined) return Effect.fail(this.invalid(records.count, records.problem))
      return Effect.flatMap(this.asked(asks, owners), () => {
        const record = only === undefined ? -1 : owners.findIndex((owner) => owner !== only)
        const owner = owners[record]
        if (only === undefined || owner === undefined) return Effect.succeed(owners)
        const key = Either.getOrElse(CopyOwners.keyOf(reference, keyspace, valueAt, record), () => [])
        return Effect.fail(new RowBelongsElsewhere({ table, key, pinned: only, owner, row: this.rows + 1 + record }))
      })
    })
  }

  /** Adds the answers to `owners`. */
  private asked(
    asks: ReadonlyArray<{ readonly record: number; readonly ask: Bind.Ask["asks"][number] }>,
    owners: Array<ShardId>
  ): Effect.Effect<void, ShardError> {
    if (asks.length === 0) return Effect.void
    return Effect.flatMap(this.load.services.stages.resolver.resolve(asks.map(({ ask }) => ask)), (answers) => {
      for (const [place, { ask, record }] of asks.entries()) {
        const answer = answers[place]
        if (answer === undefined || Option.isNone(answer)) {
          return Effect.fail(this.invalid(record, causedBy(unassigned(ask))))
        }
        owners[record] = answer.value
      }
      return Effect.void
    })
  }

  /** A record of those that come next. */
  private invalid(record: number, { cause, column, reason }: Invalid): CopyRowInvalid {
    return new CopyRowInvalid({ table: this.load.plan.table, row: this.rows + 1 + record, column, reason, cause })
  }

  /** As far as there is room, then as there is. */
  private send(
    batch: Batch,
    shardsOf: (record: number) => ReadonlyArray<ShardId>,
    from: number
  ): Effect.Effect<void, ShardError> {
    return Effect.suspend(() => {
      const { records } = batch
      for (let record = from; record < records.count; record++) {
        const shards = shardsOf(record)
        if (this.suffix === undefined || !shards.every((shard) => this.writings.has(shard))) {
          const unready = shards.filter((shard) => !this.writings.has(shard))
          return Effect.zipRight(this.begin(unready, shards), this.send(batch, shardsOf, record))
        }
        this.rows++
        let full: Array<ShardId> | undefined
        for (const shard of shards) {
          const { feed } = this.writings.get(shard)!
          this.write(batch, record, feed)
          if (feed.isFull) (full ??= []).push(shard)
        }
        if (full === undefined) continue
        const room = Effect.forEach(full, (shard) => this.within(shard, this.writings.get(shard)!.feed.room), {
          discard: true
        })
        return Effect.zipRight(room, this.send(batch, shardsOf, record + 1))
      }
      for (const { feed } of this.writings.values()) feed.flush()
      return Effect.void
    })
  }

  /** The same where each record goes to one shard. */
  private sendToOwners(batch: Batch, owners: ReadonlyArray<ShardId>, from: number): Effect.Effect<void, ShardError> {
    return Effect.suspend(() => {
      const { writings } = this
      const { count } = batch.records
      for (let record = from; record < count; record++) {
        const owner = owners[record]!
        const writing = writings.get(owner)
        if (writing === undefined || this.suffix === undefined) {
          const unready = writing === undefined ? [owner] : []
          return Effect.zipRight(this.begin(unready, [owner]), this.sendToOwners(batch, owners, record))
        }
        this.rows++
        const { feed } = writing
        this.write(batch, record, feed)
        if (feed.isFull) {
          return Effect.zipRight(this.within(owner, feed.room), this.sendToOwners(batch, owners, record + 1))
        }
      }
      for (const { feed } of writings.values()) feed.flush()
      return Effect.void
    })
  }

  private write({ drawn, records }: Batch, record: number, feed: CopyWriter): void {
    const {
      request: { data },
      services: { formats }
    } = this.load
    records.write(record, feed)
    if (drawn.length > 0) {
      const values = drawn.map((column) => column[record]!)
      formats.write(formats.suffix(data?.format ?? "text", values), feed)
    }
    if (this.suffix !== undefined && this.suffix !== "") formats.write(this.suffix, feed)
    feed.close(records.lines(record), this.rows)
  }

  /** With the moment of the statement, before the first of them. */
  private begin(unready: ReadonlyArray<ShardId>, shards: ReadonlyArray<ShardId>): Effect.Effect<void, ShardError> {
    const { plan, request, services } = this.load
    const [shard] = shards
    const taken =
      this.suffix !== undefined || plan.moment === undefined || shard === undefined
        ? Effect.void
        : Effect.map(this.within(shard, this.target.moment(shard, plan.moment)), ({ rows }) => {
            this.suffix = services.formats.suffix(request.data?.format ?? "text", rows[0] ?? [])
          })
    const begun = Effect.forEach(
      unready,
      (each) => Effect.zipRight(this.within(each, this.target.join(each)), this.beginOn(each)),
      { discard: true }
    )
    return Effect.zipRight(taken, begun)
  }

  private beginOn(shard: ShardId): Effect.Effect<void> {
    const feed = new CopyWriter()
    const { lineOf } = this.load.services.formats
    const copied = this.target.copy(shard, feed).pipe(
      Effect.mapError((error) => {
        if (error._tag !== "StatementFailed") return error
        const line = lineOf(error)
        return line === undefined ? error : new StatementFailed({ ...error, row: feed.rowOf(line) })
      }),
      Effect.tapErrorCause((cause) => Deferred.failCause(this.failed, cause))
    )
    return Effect.map(Effect.forkIn(copied, this.scope), (fiber) => void this.writings.set(shard, { feed, fiber }))
  }

  private within<A>(shard: ShardId, effect: Effect.Effect<A, ShardError>): Effect.Effect<A, ShardError> {
    return ShardCall.limited({ shard, policy: this.load.place.policy, access: "write" }, effect)
  }

  /** How far it is. */
  private readonly told: Effect.Effect<void> = Effect.suspend(() => {
    const { progress } = this.load.request
    if (progress === undefined) return Effect.void
    const byShard = new Map<ShardId, Sent>()
    for (const [shard, { feed }] of this.writings) byShard.set(shard, { rows: feed.rows, bytes: feed.bytesSent })
    return Ref.set(progress, { rows: this.rows, byShard })
  })
}

type Piece = ReadonlyArray<Row | Uint8Array>

/** So much of a piece is looked at together: what is remembered of its rows stays small, however large the piece. */
const batchRows = 4_096
const batchBytes = 262_144

type Invalid = CopyProblem & { readonly cause?: ShardError }

const notBytes: Invalid = { column: undefined, reason: "with a format, the input is bytes" }

const causedBy = (cause: ShardError): Invalid => ({ column: undefined, reason: cause.message, cause })

type ByKey = Extract<Way, { readonly _tag: "ByKey" }>

const keyspaceOf = (topology: Topology, reference: ShardedReference): Topology["keyspaces"][string] => {
  const keyspace = topology.keyspaces[reference.keyspace]
  if (keyspace === undefined) throw new Error(`a plan names keyspace ${reference.keyspace}, which the topology lacks`)
  return keyspace
}

const readerOf = ({ plan: { way }, request: { columns, data }, services: { formats } }: Loading) => {
  const needed = way._tag === "To" ? [] : CopyOwners.placesOf(way.reference)
  return data === undefined
    ? undefined
    : formats.reader(
        data,
        columns,
        needed.filter((place) => place < columns.length)
      )
}

/** Under `forKey` each key is compared with that one. */
const quickOf = ({ place: { pin, topology }, plan: { way } }: Loading): CopyOwners.Quick =>
  way._tag === "To" || pin?._tag === "Key"
    ? CopyOwners.unknown
    : CopyOwners.quick(topology, keyspaceOf(topology, way.reference), way.reference)

const foreign = (pin: KeyPin, reference: ShardedReference, key: KeyValue.KeyTuple): KeyNotPinned | undefined => {
  if (reference.keyspace !== pin.keyspace) {
    return notOfKey(reference.table, pin, `it belongs to keyspace ${reference.keyspace}, not to ${pin.keyspace}`)
  }
  return KeyValue.identity(key) === KeyValue.identity(pin.key)
    ? undefined
    : notOfKey(reference.table, pin, `the row has key ${KeyValue.format(key)}`)
}
