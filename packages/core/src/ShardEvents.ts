/**
 * Tells observers what happens (`ShardEvent`), and makes a span of each call where a tracer listens.
 *
 * Enters: an observer, for an effect and all that it forks, as a layer for a whole program, or for the process. Leaves:
 * events, as they happen, or as a stream. Holds: nobody's answer, error or interruption is changed; while there is no
 * observer in the process and nothing of it is traced, a statement and each of its calls cost one comparison.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { globalValue } from "effect/GlobalValue"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as EventBuffer from "./internal/eventBuffer.js"
import { isTraced } from "./internal/traced.js"
import type { RowPage } from "./merge/RowPage.js"
import type { Answer, SharedStatements, ShardConnection, ShardDriver, ShardSession } from "./ShardConnection.js"
import * as ShardContext from "./ShardContext.js"
import type { ShardError } from "./ShardError.js"
import type {
  AskedStatement,
  CallStarted,
  Ending,
  EventsDropped,
  Observation,
  Observer,
  Role,
  ShardEvent,
  StatementRouted,
  TransactionKind
} from "./ShardEvent.js"
import type { ShardId } from "./topology/ShardId.js"

/** One for the process, also where it has loaded this module twice: like the reference that the observers are in. */
const process = globalValue("@shardlayer/core/ShardEvents", () => ({
  observed: 0,
  lastId: 0,
  watchers: new Set<Observer>()
}))

const nextId = (): number => ++process.lastId

/**
 * Tells `observer` what happens in `effect`, and in what it forks. Who observes around it is told as well.
 *
 * @example
 * ```ts
 * import { type ShardEvent, ShardEvents } from "@shardlayer/core"
 * import { SqlClient } from "@effect/sql"
 * import { Effect } from "effect"
 *
 * const events: Array<ShardEvent.ShardEvent> = []
 *
 * export const program = Effect.gen(function* () {
 *   const sql = yield* SqlClient.SqlClient
 *   return yield* ShardEvents.observe(sql`SELECT name FROM users WHERE id = ${1}`, (event) => events.push(event))
 * })
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const observe = <A, E, R>(effect: Effect.Effect<A, E, R>, observer: Observer): Effect.Effect<A, E, R> =>
  Effect.acquireUseRelease(
    counted,
    () => ShardContext.observed(effect, joined(observer)),
    () => uncounted
  )

/**
 * The same for everything that the layer is provided to.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (observer: Observer): Layer.Layer<never> =>
  Layer.scopedDiscard(
    Effect.zipRight(
      Effect.acquireRelease(counted, () => uncounted),
      ShardContext.observedScoped(joined(observer))
    )
  )

/**
 * Tells `observer` what happens in the whole process, in whichever fiber and on whichever router, until the scope is
 * closed.
 *
 * @since 0.1.0
 * @category functions
 */
export const watch = (observer: Observer): Effect.Effect<void, never, Scope.Scope> => {
  // The same function twice is told twice, and each goes by itself.
  const own: Observer = (event) => observer(event)
  return Effect.asVoid(
    Effect.acquireRelease(
      Effect.zipRight(
        counted,
        Effect.sync(() => process.watchers.add(own))
      ),
      () =>
        Effect.zipRight(
          Effect.sync(() => process.watchers.delete(own)),
          uncounted
        )
    )
  )
}

/**
 * What happens in the whole process while the stream runs. Statements never wait for whoever takes it: of events that it
 * does not take in time the latest `capacity` are kept, and `EventsDropped` stands for those before.
 * Of what had begun before the stream, there may be an end without a start.
 *
 * @example
 * ```ts
 * import { ShardEvents } from "@shardlayer/core"
 * import { Console, Effect, Stream } from "effect"
 *
 * export const slow = ShardEvents.stream().pipe(
 *   Stream.runForEach((event) =>
 *     event._tag === "CallEnded" && event.millis > 100
 *       ? Console.log(`call ${event.call} took ${event.millis} ms`)
 *       : Effect.void
 *   )
 * )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const stream = (options?: BufferOptions): Stream.Stream<ShardEvent | EventsDropped> =>
  Stream.unwrapScoped(subscribe(options))

/**
 * The same from now on, whenever the stream is run, until the scope is closed. For one that takes them.
 *
 * @since 0.1.0
 * @category functions
 */
export const subscribe = (
  options?: BufferOptions
): Effect.Effect<Stream.Stream<ShardEvent | EventsDropped>, never, Scope.Scope> =>
  Effect.suspend(() => {
    const { offer, take } = EventBuffer.make(options?.capacity ?? 4_096)
    return Effect.as(watch(offer), Stream.repeatEffectChunk(take))
  })

/** @since 0.1.0 @category models */
export interface BufferOptions {
  /** How many events are kept for whoever takes them, at least 1. Default 4,096. */
  readonly capacity?: number | undefined
}

/**
 * Runs `effect` so that the calls of shards in it have spans, below `span`: where the fiber's tracer shows them to
 * somebody. Else it is as it was.
 *
 * @since 0.1.0
 * @category combinators
 */
export const under = <A, E, R>(
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  effect: Effect.Effect<A, E, R>,
  span: Tracer.Span,
  of: SpanOf
): Effect.Effect<A, E, R> =>
  isSeen(fiber, span)
    ? Effect.acquireUseRelease(
        counted,
        () => ShardContext.observed(effect, withSpan(span, of)),
        () => uncounted
      )
    : effect

/** @since 0.1.0 @category models */
export type SpanOf = "statement" | "transaction"

/**
 * The same for the rows of a statement.
 *
 * @since 0.1.0
 * @category combinators
 */
export const streamUnder = <A, E, R>(
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  rows: Stream.Stream<A, E, R>,
  span: Tracer.Span
): Stream.Stream<A, E, R> =>
  isSeen(fiber, span)
    ? Stream.fromPull(
        Effect.zipRight(
          Effect.acquireRelease(counted, () => uncounted),
          Effect.map(ShardContext.observed(Stream.toPull(rows), withSpan(span, "statement")), (pull) =>
            ShardContext.observed(pull, withSpan(span, "statement"))
          )
        )
      )
    : rows

const isSeen = (fiber: Fiber.RuntimeFiber<unknown, unknown>, span: Tracer.Span): boolean =>
  isTraced(fiber) && !Context.get(span.context, Tracer.DisablePropagation)

const withSpan =
  (span: Tracer.Span, of: SpanOf) =>
  (around: Observation | undefined): Observation => ({
    ...(around ?? nobody),
    span,
    statementSpan: of === "statement" ? span : undefined
  })

const nobody: Observation = {
  observer: undefined,
  statement: undefined,
  transaction: undefined,
  span: undefined,
  statementSpan: undefined
}

const counted = Effect.sync(() => {
  process.observed++
})

const uncounted = Effect.sync(() => {
  process.observed--
})

const joined =
  (observer: Observer) =>
  (around: Observation | undefined): Observation =>
    around?.observer === undefined
      ? { ...(around ?? nobody), observer }
      : {
          ...around,
          observer: (event) => {
            around.observer?.(event)
            observer(event)
          }
        }

/**
 * Who is told what happens in a fiber.
 *
 * @since 0.1.0
 * @category accessors
 */
export const of = (fiber: Fiber.RuntimeFiber<unknown, unknown>): Observation | undefined =>
  process.observed === 0
    ? undefined
    : (ShardContext.observationOf(fiber) ?? (process.watchers.size === 0 ? undefined : nobody))

const tell = ({ observer }: Observation, event: ShardEvent): void => {
  observer?.(event)
  for (const watcher of process.watchers) watcher(event)
}

/** @since 0.1.0 @category models */
export interface Statement {
  readonly operation: string
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
}

/**
 * One statement of the program. `run` is given what its routing is told to.
 *
 * @since 0.1.0
 * @category functions
 */
export const statement = <A>(
  observation: Observation,
  asked: Statement,
  run: (inside: Observation) => Effect.Effect<A, ShardError>
): Effect.Effect<A, ShardError> =>
  Effect.clockWith((clock) => {
    const [inside, ended] = statementStarted(observation, asked, clock)
    return Effect.onExit(
      ShardContext.observed(
        Effect.suspend(() => run(inside)),
        () => inside
      ),
      (exit) => Effect.sync(() => ended(exit, Exit.isSuccess(exit) ? rowsOf(exit.value) : undefined))
    )
  })

/** @since 0.1.0 @category functions */
export const statementStream = <A>(
  observation: Observation,
  asked: Omit<Statement, "operation">,
  run: (inside: Observation) => Stream.Stream<A, ShardError>
): Stream.Stream<A, ShardError> =>
  Stream.unwrapScoped(
    Effect.clockWith((clock) => {
      const [inside, ended] = statementStarted(observation, { ...asked, operation: "executeStream" }, clock)
      const counting = countedRows(Stream.suspend(() => run(inside)))
      const pulled = Stream.fromPull(
        Effect.map(
          ShardContext.observed(Stream.toPull(counting.rows), () => inside),
          (pull) => ShardContext.observed(pull, () => inside)
        )
      )
      return Effect.succeed(endedWith(pulled, (exit) => ended(exit, counting.count())))
    })
  )

const statementStarted = (observation: Observation, asked: Statement, clock: Clock.Clock) => {
  const { statementSpan: span, transaction } = observation
  const id = nextId()
  const own: AskedStatement = { id, operation: asked.operation, sql: asked.sql, span, strategy: undefined }
  tell(observation, {
    _tag: "StatementStarted",
    ...asked,
    statement: id,
    parent: observation.statement?.id,
    transaction,
    atMillis: clock.unsafeCurrentTimeMillis()
  })
  const millis = stopwatch(clock)
  const ended = (exit: Exit.Exit<unknown, ShardError>, rows: number | undefined): void => {
    const ending = endingOf(exit, rows)
    if (span !== undefined) annotateEnd(span, ending)
    tell(observation, { _tag: "StatementEnded", statement: id, strategy: own.strategy, ...ending, millis: millis() })
  }
  return [{ ...observation, statement: own, statementSpan: undefined }, ended] as const
}

/** @since 0.1.0 @category functions */
export const routed = (observation: Observation, routing: () => Pick<StatementRouted, "strategy" | "shards">): void => {
  const { statement: asked } = observation
  if (asked === undefined) return
  const { shards, strategy } = routing()
  asked.strategy = strategy
  tell(observation, { _tag: "StatementRouted", statement: asked.id, strategy, shards })
  const { span } = asked
  if (span === undefined) return
  span.attribute(attributes.strategy, strategy)
  span.attribute(attributes.shards, shards.length)
  if (shards.length === 1) span.attribute(attributes.shard, shards[0])
}

/**
 * An effect that may be tried again: each time after the first is told.
 *
 * @since 0.1.0
 * @category functions
 */
export const attempts = (shard: ShardId | undefined) => {
  let failed: ShardError | undefined
  const before = Effect.withFiberRuntime<void>((fiber) => {
    const observation = failed === undefined ? undefined : of(fiber)
    if (observation !== undefined && failed !== undefined) {
      const { span, statement: asked } = observation
      tell(observation, { _tag: "StatementRetried", statement: asked?.id, shard, error: failed })
      const clock = Context.get(fiber.currentDefaultServices, Clock.Clock)
      span?.event("shardlayer.retry", clock.unsafeCurrentTimeNanos(), {
        ...(shard === undefined ? {} : { [attributes.shard]: shard }),
        [attributes.error]: failed._tag
      })
    }
    return Effect.void
  })
  return {
    before,
    failed: (error: ShardError): void => {
      failed = error
    }
  }
}

/**
 * A transaction from before its beginning until after its end. `body` is what became of what ran in it, once that is known.
 *
 * @since 0.1.0
 * @category functions
 */
export const transaction = <A, E, R>(
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  isSnapshot: boolean,
  effect: Effect.Effect<A, E, R>,
  body: () => Exit.Exit<unknown, unknown> | undefined
): Effect.Effect<A, E, R> => {
  const observation = of(fiber)
  if (observation === undefined) return effect
  const { statement: asked } = observation
  return Effect.clockWith((clock) => {
    const id = nextId()
    const kind: TransactionKind = isSnapshot ? "snapshot" : asked === undefined ? "program" : "statement"
    const atMillis = clock.unsafeCurrentTimeMillis()
    tell(observation, { _tag: "TransactionStarted", transaction: id, kind, statement: asked?.id, atMillis })
    const millis = stopwatch(clock)
    return Effect.onExit(
      ShardContext.observed(effect, (around) => ({ ...(around ?? observation), transaction: id })),
      (exit) =>
        Effect.sync(() => {
          const ran = body()
          const isUndone = ran !== undefined && Exit.isFailure(ran)
          const outcome = Exit.isSuccess(exit) ? "committed" : isUndone ? "rolledBack" : "failed"
          const error = Exit.isSuccess(exit) ? undefined : Cause.squash(exit.cause)
          tell(observation, { _tag: "TransactionEnded", transaction: id, kind, outcome, error, millis: millis() })
        })
    )
  })
}

/**
 * A shard's connections, which tell the observer of the fiber that uses them.
 *
 * @since 0.1.0
 * @category functions
 */
export const driver = (shard: ShardId, own: ShardDriver): ShardDriver => {
  const { spanAttributes = [] } = own
  const at: At = { shard, session: undefined, spanAttributes }
  return {
    ...connection(at, own),
    client: own.client,
    shared: own.shared && statements(at, own.shared),
    presenter: own.presenter,
    reserve: Effect.map(own.reserve, (reserved) => session({ ...at, session: nextId() }, reserved)),
    describe: (sql) => called(at, "planning", sql, [], own.describe(sql)),
    inspect: (sql, params) => called(at, "planning", sql, params, own.inspect(sql, params)),
    settle: (sql) => called(at, "protocol", sql, [], own.settle(sql)),
    spanAttributes,
    pool: own.pool
  }
}

interface At {
  readonly shard: ShardId
  readonly session: number | undefined
  readonly spanAttributes: ReadonlyArray<readonly [string, unknown]>
}

const session = (at: At, own: ShardSession): ShardSession => {
  const { ahead, copyFrom, copyIn, dismiss, send } = own
  const { execute, executeRaw, executeStream, executeText, executeValues, streamPages } = connection(at, own)
  return {
    execute,
    executeValues,
    executeRaw,
    executeText,
    executeStream,
    streamPages,
    taint: own.taint,
    isFailed: own.isFailed,
    describe: (sql) => called(at, "planning", sql, [], own.describe(sql)),
    copyIn: copyIn && ((sql, rows) => called(at, "copy", sql, [], copyIn(sql, rows))),
    copyFrom: copyFrom && ((sql, feed) => called(at, "copy", sql, [], copyFrom(sql, feed))),
    control: (sql, onSent) => called(at, roleOfControl(sql), sql, [], own.control(sql, onSent)),
    ahead: ahead && ((sql) => called(at, roleOfControl(sql), sql, [], ahead(sql))),
    commit: Effect.suspend(() => called(at, "commit", "COMMIT", [], own.commit)),
    rollback: Effect.suspend(() => called(at, "rollback", "ROLLBACK", [], own.rollback)),
    send: send && ((sql, options) => sent(at, sql, send(sql, options))),
    abort: own.abort,
    dismiss: dismiss && Effect.suspend(() => called(at, "rollback", "ROLLBACK", [], dismiss)),
    command: (sql, options) => called(at, "protocol", sql, [], own.command(sql, options))
  }
}

/** From when it is sent until it is answered. */
const sent = (at: At, sql: string, sending: Effect.Effect<Answer>): Effect.Effect<Answer> =>
  process.observed === 0
    ? sending
    : Effect.withFiberRuntime((fiber) => {
        const ended = callStarted(fiber, at, "protocol", sql, [])
        if (ended === undefined) return sending
        return Effect.map(sending, (answer) =>
          Effect.onExit(answer, (exit) =>
            Effect.sync(() => ended(exit, Exit.isSuccess(exit) ? rowsOf(exit.value) : undefined))
          )
        )
      })

const roleOfControl = (sql: string): Role =>
  sql.startsWith("BEGIN")
    ? "begin"
    : sql.startsWith("COMMIT")
      ? "commit"
      : sql === "ROLLBACK"
        ? "rollback"
        : "savepoint"

const statements = (at: At, own: SharedStatements): SharedStatements => ({
  execute: (sql, params) => called(at, undefined, sql, params, own.execute(sql, params)),
  executeValues: (sql, params) => called(at, undefined, sql, params, own.executeValues(sql, params)),
  executeRaw: (sql, params) => called(at, undefined, sql, params, own.executeRaw(sql, params))
})

const connection = (at: At, own: ShardConnection): ShardConnection => {
  const { execute, executeRaw, executeValues } = statements(at, own)
  return {
    execute,
    executeValues,
    executeRaw,
    executeText: (sql, params, bound) => called(at, undefined, sql, params, own.executeText(sql, params, bound)),
    executeStream: (sql, params) => calledStream(at, sql, params, own.executeStream(sql, params), Chunk.size),
    streamPages: (sql, params) => calledStream(at, sql, params, own.streamPages(sql, params), rowsInPages)
  }
}

/** Without a role: of the statement that it runs for. */
const called = <A, E extends ShardError>(
  at: At,
  role: Role | undefined,
  sql: string,
  params: ReadonlyArray<unknown>,
  answer: Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  process.observed === 0
    ? answer
    : Effect.withFiberRuntime((fiber) => {
        const ended = callStarted(fiber, at, role, sql, params)
        if (ended === undefined) return answer
        return Effect.onExit(answer, (exit) =>
          Effect.sync(() => ended(exit, Exit.isSuccess(exit) ? rowsOf(exit.value) : undefined))
        )
      })

const calledStream = <A>(
  at: At,
  sql: string,
  params: ReadonlyArray<unknown>,
  answer: Stream.Stream<A, ShardError>,
  rowsIn: (chunk: Chunk.Chunk<A>) => number
): Stream.Stream<A, ShardError> =>
  process.observed === 0
    ? answer
    : Stream.unwrapScoped(
        Effect.withFiberRuntime<Stream.Stream<A, ShardError>, never, Scope.Scope>((fiber) => {
          const ended = callStarted(fiber, at, undefined, sql, params)
          if (ended === undefined) return Effect.succeed(answer)
          const { count, rows } = countedRows(answer, rowsIn)
          return Effect.succeed(endedWith(rows, (exit) => ended(exit, count())))
        })
      )

const callStarted = (
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  at: At,
  given: Role | undefined,
  sql: string,
  params: ReadonlyArray<unknown>
): ((exit: Exit.Exit<unknown, ShardError>, rows: number | undefined) => void) | undefined => {
  const observation = of(fiber)
  if (observation === undefined) return undefined
  const { span: above, statement: asked, transaction: inside } = observation
  const clock = Context.get(fiber.currentDefaultServices, Clock.Clock)
  const call = nextId()
  const started: CallStarted = {
    _tag: "CallStarted",
    shard: at.shard,
    session: at.session,
    call,
    role: given ?? (asked === undefined || asked.sql === sql ? "statement" : "part"),
    sql,
    params,
    statement: asked?.id,
    // What runs beside a transaction is none of it.
    transaction: at.session === undefined && given !== "protocol" ? undefined : inside,
    atMillis: clock.unsafeCurrentTimeMillis()
  }
  tell(observation, started)
  const span = above && callSpan(fiber, { above, at, asked, clock }, started)
  const millis = stopwatch(clock)
  return (exit, rows) => {
    const ending = endingOf(exit, rows)
    if (span !== undefined) {
      annotateEnd(span, ending)
      span.end(clock.unsafeCurrentTimeNanos(), exit)
    }
    const { role, shard } = started
    tell(observation, { _tag: "CallEnded", call, shard, role, strategy: asked?.strategy, ...ending, millis: millis() })
  }
}

/** The attributes of spans: those of OpenTelemetry's conventions for databases, as `@effect/sql-pg` has them, and ours. */
const attributes = {
  operation: "db.operation.name",
  text: "db.query.text",
  rows: "db.response.returned_rows",
  status: "db.response.status_code",
  error: "error.type",
  shard: "shardlayer.shard",
  shards: "shardlayer.shards",
  strategy: "shardlayer.strategy",
  refusal: "shardlayer.refusal"
} as const

interface CallSpan {
  readonly above: Tracer.Span
  readonly at: At
  readonly asked: AskedStatement | undefined
  readonly clock: Clock.Clock
}

const callSpan = (
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  { above, asked, at, clock }: CallSpan,
  { role, sql }: CallStarted
): Tracer.Span => {
  const tracer = Context.get(fiber.currentDefaultServices, Tracer.Tracer)
  const from = clock.unsafeCurrentTimeNanos()
  const span = tracer.span(`shardlayer.${role}`, Option.some(above), Context.empty(), [], from, "client")
  for (const [key, value] of at.spanAttributes) span.attribute(key, value)
  const isAnswering = role === "statement" || role === "part"
  span.attribute(attributes.operation, isAnswering && asked !== undefined ? asked.operation : role)
  span.attribute(attributes.text, sql)
  span.attribute(attributes.shard, at.shard)
  if (asked?.strategy !== undefined) span.attribute(attributes.strategy, asked.strategy)
  return span
}

const annotateEnd = (span: Tracer.Span, { error, rows }: Omit<Ending, "millis">): void => {
  if (rows !== undefined) span.attribute(attributes.rows, rows)
  if (error === undefined) return
  span.attribute(attributes.error, error._tag)
  if (error._tag === "StatementFailed" || error._tag === "StatementInvalid")
    span.attribute(attributes.status, error.code)
  if (error._tag === "UnsupportedQuery") span.attribute(attributes.refusal, error.code)
}

/** The same rows, and how many have gone by. */
const rowsInPages = (pages: Chunk.Chunk<RowPage>): number => Chunk.reduce(pages, 0, (sum, { count }) => sum + count)

const countedRows = <A>(
  stream: Stream.Stream<A, ShardError>,
  rowsIn: (chunk: Chunk.Chunk<A>) => number = Chunk.size
) => {
  let count = 0
  const rows = Stream.mapChunks(stream, (chunk) => {
    count += rowsIn(chunk)
    return chunk
  })
  return { rows, count: () => count }
}

/** Once, however the stream ends: to its last row, with an error, or because nobody wants more of it. */
const endedWith = <A>(
  rows: Stream.Stream<A, ShardError>,
  ended: (exit: Exit.Exit<unknown, ShardError>) => void
): Stream.Stream<A, ShardError> => {
  let failed: Exit.Exit<unknown, ShardError> | undefined
  return Stream.ensuringWith(
    Stream.tapErrorCause(rows, (cause) =>
      Effect.sync(() => {
        failed = Exit.failCause(cause)
      })
    ),
    (exit) => Effect.sync(() => ended(failed ?? (exit as Exit.Exit<unknown, ShardError>)))
  )
}

const stopwatch = (clock: Clock.Clock): (() => number) => {
  const from = clock.unsafeCurrentTimeNanos()
  return () => Number(clock.unsafeCurrentTimeNanos() - from) / 1e6
}

const endingOf = (exit: Exit.Exit<unknown, ShardError>, rows: number | undefined): Omit<Ending, "millis"> => {
  if (Exit.isSuccess(exit)) return { outcome: "success", rows, error: undefined }
  return {
    outcome: Cause.isInterruptedOnly(exit.cause) ? "interrupted" : "failure",
    rows,
    error: Option.getOrUndefined(Cause.failureOption(exit.cause))
  }
}

/** Of an answer in any of its forms; of several results, those of the last. */
const rowsOf = (answer: unknown): number | undefined => {
  if (typeof answer === "number") return answer
  if (typeof answer !== "object" || answer === null) return undefined
  if (Array.isArray(answer)) {
    const last: unknown = answer.at(-1)
    return isResult(last) ? rowsOf(last) : answer.length
  }
  if ("rowCount" in answer && typeof answer.rowCount === "number") return answer.rowCount
  return "rows" in answer && Array.isArray(answer.rows) ? answer.rows.length : undefined
}

const isResult = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "command" in value && "rowCount" in value && "fields" in value
