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
import type { CopyFormats, CopyProblem, CopyRecord } from "./Dialect.js"
import { CopyWriter } from "./internal/copyWriter.js"
import * as Drawing from "./internal/drawing.js"
import { aloneIn, type Stages, unassigned } from "./internal/stages.js"
import * as LocalTransaction from "./LocalTransaction.js"
import type * as Bind from "./plan/Bind.js"
import type { Constraint } from "./plan/Constraint.js"
import type { CopyData, CopyPlan } from "./plan/Copy.js"
import type { ShardedReference } from "./plan/Plan.js"
import * as Prune from "./plan/Prune.js"
import * as Policy from "./Policy.js"
import * as ShardCall from "./ShardCall.js"
import * as ShardContext from "./ShardContext.js"
import { type ShardSession, unbounded } from "./ShardConnection.js"
import {
  cannotCopy,
  CopiesDiffer,
  CopyIncomplete,
  CopyRowInvalid,
  KeyInvalid,
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

class Split {
  private readonly writings = new Map<ShardId, Writing>()
  private readonly takes: (piece: Piece, isLast: boolean) => Records
  private suffix: string | undefined
  private rows = 0

  constructor(
    private readonly load: Loading,
    private readonly target: Target,
    private readonly scope: Scope.Scope,
    private readonly failed: Deferred.Deferred<never, ShardError>
  ) {
    this.takes = recordsOf(load)
    this.suffix = load.plan.moment === undefined ? "" : undefined
  }

  piece(piece: Piece): Effect.Effect<void, ShardError> {
    return Effect.suspend(() => this.all(this.takes(piece, false)))
  }

  get end(): Effect.Effect<ReadonlyMap<ShardId, number>, ShardError> {
    return Effect.gen(this, function* () {
      yield* this.all(this.takes([], true))
      for (const { feed } of this.writings.values()) feed.end()
      const stored = new Map<ShardId, number>()
      for (const [shard, { fiber }] of this.writings) stored.set(shard, yield* this.within(shard, Fiber.join(fiber)))
      yield* this.alike(stored)
      yield* this.tell
      return stored
    })
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

  private all(records: Records): Effect.Effect<void, ShardError> {
    if (records.length === 0) return Effect.void
    return Effect.flatMap(this.drawn(records), (whole) => this.placed(whole))
  }

  /** With values of what is generated. What comes behind a row that cannot be sent is not sent either. */
  private drawn(records: Records): Effect.Effect<Records, ShardError> {
    const {
      plan: { draws },
      request: { columns, data },
      services: { formats, stages }
    } = this.load
    if (draws.length === 0) return Effect.succeed(records)
    const wrong = records.findIndex(Either.isLeft)
    const [good, others] = wrong < 0 ? [records, []] : [records.slice(0, wrong), records.slice(wrong)]
    const extend = (record: Records[number], drawn: ReadonlyArray<string>): Records[number] =>
      Either.map(record, ({ lines, text, values }) => {
        const all = [...values]
        for (const [index, value] of drawn.entries()) all[columns.length + index] = value
        return { text: text + formats.suffix(data?.format ?? "text", drawn), values: all, lines }
      })
    return Effect.map(Drawing.extended(stages.ids, draws, good, extend), (whole) => [...whole, ...others])
  }

  private placed(records: Records): Effect.Effect<void, ShardError> {
    const { plan } = this.load
    const first = this.rows + 1
    const { way } = plan
    const sent =
      way._tag === "To"
        ? Effect.suspend(() => {
            const [problem] = firstProblem(plan.table, records, first)
            if (problem !== undefined) return Effect.fail(problem)
            return this.send(records, () => way.shards, 0)
          })
        : Effect.flatMap(ownersOf(this.load, way, records, first), (owners) =>
            this.send(records, (index) => [owners[index]!], 0)
          )
    return Effect.zipRight(sent, this.tell)
  }

  /** As far as there is room, then as there is. */
  private send(
    records: Records,
    shardsOf: (index: number) => ReadonlyArray<ShardId>,
    from: number
  ): Effect.Effect<void, ShardError> {
    return Effect.suspend(() => {
      for (let index = from; index < records.length; index++) {
        const record = records[index]
        if (record === undefined || Either.isLeft(record)) throw new Error("a row that cannot be sent came to be sent")
        const shards = shardsOf(index)
        const unready = shards.filter((shard) => !this.writings.has(shard))
        if (unready.length > 0 || this.suffix === undefined) {
          return Effect.zipRight(this.begin(unready, shards), this.send(records, shardsOf, index))
        }
        this.rows++
        const { lines, text } = record.right
        const full: Array<ShardId> = []
        for (const shard of shards) {
          const feed = this.writings.get(shard)!.feed
          feed.push(text + this.suffix, lines, this.rows)
          if (feed.isFull) full.push(shard)
        }
        if (full.length > 0) {
          const room = Effect.forEach(full, (shard) => this.within(shard, this.writings.get(shard)!.feed.room), {
            discard: true
          })
          return Effect.zipRight(room, this.send(records, shardsOf, index + 1))
        }
      }
      for (const { feed } of this.writings.values()) feed.flush()
      return Effect.void
    })
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
    const feed = new CopyWriter(this.load.request.data === undefined ? "utf8" : "latin1")
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

  private get tell(): Effect.Effect<void> {
    const { progress } = this.load.request
    if (progress === undefined) return Effect.void
    return Effect.suspend(() => {
      const byShard = new Map(
        Array.from(
          this.writings,
          ([
            shard,
            {
              feed: { bytes, rows }
            }
          ]) => [shard, { rows, bytes }] as const
        )
      )
      return Ref.set(progress, { rows: this.rows, byShard })
    })
  }
}

type Records = ReadonlyArray<Either.Either<CopyRecord, CopyProblem>>

type Piece = ReadonlyArray<Row | Uint8Array>

/** Of one piece of the input after another, and what is left over at its end. */
const recordsOf = ({
  plan: { way },
  request: { columns, data },
  services: { formats }
}: Loading): ((piece: Piece, isLast: boolean) => Records) => {
  if (data === undefined) {
    return (piece) =>
      piece.map((row) => (row instanceof Uint8Array ? wrong("bytes need a format") : recordOf(formats, columns, row)))
  }
  const needed = way._tag === "To" ? [] : neededBy(way.reference.constraint)
  const reader = formats.reader(
    data,
    columns,
    needed.filter((place) => place < columns.length)
  )
  return (piece, isLast) => {
    const records = piece.flatMap((bytes) =>
      bytes instanceof Uint8Array ? reader.push(bytes) : [wrong("with a format, the input is bytes")]
    )
    return isLast ? [...records, ...reader.end()] : records
  }
}

const wrong = (reason: string): Either.Either<never, CopyProblem> => Either.left({ column: undefined, reason })

const recordOf = (
  formats: CopyFormats,
  columns: ReadonlyArray<string>,
  row: Row
): Either.Either<CopyRecord, CopyProblem> => {
  if (isList(row)) {
    return row.length === columns.length
      ? formats.record(row)
      : Either.left({
          column: undefined,
          reason: `it has ${row.length} values, and ${columns.length} columns are named`
        })
  }
  const other = Object.keys(row).find((name) => !columns.includes(name))
  return other === undefined
    ? formats.record(columns.map((name) => row[name]))
    : Either.left({ column: other, reason: "it is not among the columns that were named" })
}

const isList = (row: Row): row is ReadonlyArray<unknown> => Array.isArray(row)

/** Places of the columns that a row's key is made of. */
const neededBy = (constraint: Constraint): ReadonlyArray<number> =>
  constraint._tag === "Stored"
    ? constraint.operands.flatMap((operand) => (operand._tag === "Param" ? [operand.index - 1] : []))
    : []

const firstProblem = (table: string, records: Records, first: number): ReadonlyArray<CopyRowInvalid> => {
  const index = records.findIndex(Either.isLeft)
  const record = records[index]
  return record !== undefined && Either.isLeft(record)
    ? [new CopyRowInvalid({ table, row: first + index, ...record.left })]
    : []
}

/** The shard of each row. Keys that only a directory knows are asked for together. */
const ownersOf = (
  { place: { pin, topology }, plan: { table }, services: { stages } }: Loading,
  { only, reference }: Extract<Way, { readonly _tag: "ByKey" }>,
  records: Records,
  first: number
): Effect.Effect<ReadonlyArray<ShardId>, ShardError> =>
  Effect.suspend(() => {
    const keyspace = topology.keyspaces[reference.keyspace]
    if (keyspace === undefined) throw new Error(`a plan names keyspace ${reference.keyspace}, which the topology lacks`)
    const owners: Array<ShardId> = []
    const keys: Array<KeyValue.KeyTuple> = []
    const asks: Array<{ readonly index: number; readonly ask: Bind.Ask["asks"][number] }> = []
    const invalid = (index: number, column: string | undefined, cause: ShardError | undefined, reason: string) =>
      new CopyRowInvalid({ table, row: first + index, column, reason, cause })
    for (const [index, record] of records.entries()) {
      if (Either.isLeft(record)) return Effect.fail(invalid(index, record.left.column, undefined, record.left.reason))
      const found = Prune.keysOf(reference.constraint, keyspace.key, record.right.values)
      if (Either.isLeft(found)) {
        const { column, reason } = found.left
        const name = reference.columns[column]
        const cause = new KeyInvalid({ table: reference.table, column: name, reason })
        return Effect.fail(invalid(index, name, cause, reason))
      }
      const key = found.right._tag === "Keys" ? found.right.keys[0] : undefined
      if (key === undefined) throw new Error(`a row of ${reference.table} has no key`)
      keys.push(key)
      const problem = pin?._tag === "Key" ? foreign(pin, reference, key) : undefined
      if (problem !== undefined) return Effect.fail(invalid(index, undefined, problem, problem.message))
      const owner = Resolver.owner(topology, keyspace, key)
      if (owner._tag === "None") {
        const cause = new KeyUnassigned({ keyspace: reference.keyspace, key, reason: owner.reason })
        return Effect.fail(invalid(index, undefined, cause, cause.message))
      }
      if (owner._tag === "Shard") owners[index] = owner.shard
      else {
        const known = stages.resolver.resolveCached(owner)
        if (known === undefined) asks.push({ index, ask: owner })
        else owners[index] = known
      }
    }
    const answered =
      asks.length === 0
        ? Effect.void
        : Effect.flatMap(stages.resolver.resolve(asks.map(({ ask }) => ask)), (answers) => {
            for (const [place, { ask, index }] of asks.entries()) {
              const answer = answers[place]
              if (answer === undefined || Option.isNone(answer)) {
                const cause = unassigned(ask)
                return Effect.fail(invalid(index, undefined, cause, cause.message))
              }
              owners[index] = answer.value
            }
            return Effect.void
          })
    return Effect.flatMap(answered, () => {
      const index = only === undefined ? -1 : owners.findIndex((owner) => owner !== only)
      const owner = owners[index]
      return only === undefined || owner === undefined
        ? Effect.succeed(owners)
        : Effect.fail(
            new RowBelongsElsewhere({ table, key: keys[index] ?? [], pinned: only, owner, row: first + index })
          )
    })
  })

const foreign = (pin: KeyPin, reference: ShardedReference, key: KeyValue.KeyTuple): KeyNotPinned | undefined => {
  if (reference.keyspace !== pin.keyspace) {
    return notOfKey(reference.table, pin, `it belongs to keyspace ${reference.keyspace}, not to ${pin.keyspace}`)
  }
  return KeyValue.identity(key) === KeyValue.identity(pin.key)
    ? undefined
    : notOfKey(reference.table, pin, `the row has key ${KeyValue.format(key)}`)
}
