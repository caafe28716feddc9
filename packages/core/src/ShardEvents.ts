/**
 * Tells observers what happens (`ShardEvent`).
 *
 * Enters: an observer, for an effect and all that it forks, or as a layer for a whole program. Leaves: events, as they
 * happen. Holds: nobody's answer, error or interruption is changed; while there is no observer in the process, a
 * statement and each of its calls cost one comparison.
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
import type { RowPage } from "./merge/RowPage.js"
import type { Answer, SharedStatements, ShardConnection, ShardDriver, ShardSession } from "./ShardConnection.js"
import * as ShardContext from "./ShardContext.js"
import type { ShardError } from "./ShardError.js"
import type {
  CallStarted,
  Ending,
  Observation,
  Observer,
  Role,
  StatementRouted,
  TransactionKind
} from "./ShardEvent.js"
import type { ShardId } from "./topology/ShardId.js"

/** One for the process, also where it has loaded this module twice: like the reference that the observers are in. */
const process = globalValue("@shardlayer/core/ShardEvents", () => ({ observed: 0, lastId: 0 }))

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

const counted = Effect.sync(() => {
  process.observed++
})

const uncounted = Effect.sync(() => {
  process.observed--
})

const joined =
  (observer: Observer) =>
  (around: Observation | undefined): Observation =>
    around === undefined
      ? { observer, statement: undefined, transaction: undefined }
      : {
          ...around,
          observer: (event) => {
            around.observer(event)
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
  process.observed === 0 ? undefined : ShardContext.observationOf(fiber)

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
  const { observer, transaction } = observation
  const id = nextId()
  observer({
    _tag: "StatementStarted",
    ...asked,
    statement: id,
    parent: observation.statement?.id,
    transaction,
    atMillis: clock.unsafeCurrentTimeMillis()
  })
  const millis = stopwatch(clock)
  const ended = (exit: Exit.Exit<unknown, ShardError>, rows: number | undefined): void =>
    observer({ _tag: "StatementEnded", statement: id, ...endingOf(exit, rows), millis: millis() })
  return [{ ...observation, statement: { id, sql: asked.sql } }, ended] as const
}

/** @since 0.1.0 @category functions */
export const routed = (
  { observer, statement: asked }: Observation,
  routing: () => Pick<StatementRouted, "strategy" | "shards">
): void => {
  if (asked !== undefined) observer({ _tag: "StatementRouted", statement: asked.id, ...routing() })
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
  const { observer, statement: asked } = observation
  return Effect.clockWith((clock) => {
    const id = nextId()
    const kind: TransactionKind = isSnapshot ? "snapshot" : asked === undefined ? "program" : "statement"
    const atMillis = clock.unsafeCurrentTimeMillis()
    observer({ _tag: "TransactionStarted", transaction: id, kind, statement: asked?.id, atMillis })
    const millis = stopwatch(clock)
    return Effect.onExit(
      ShardContext.observed(effect, (around) => ({ ...(around ?? observation), transaction: id })),
      (exit) =>
        Effect.sync(() => {
          const ran = body()
          const isUndone = ran !== undefined && Exit.isFailure(ran)
          const outcome = Exit.isSuccess(exit) ? "committed" : isUndone ? "rolledBack" : "failed"
          const error = Exit.isSuccess(exit) ? undefined : Cause.squash(exit.cause)
          observer({ _tag: "TransactionEnded", transaction: id, outcome, error, millis: millis() })
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
export const driver = (shard: ShardId, own: ShardDriver): ShardDriver => ({
  ...connection({ shard, session: undefined }, own),
  client: own.client,
  shared: own.shared && statements({ shard, session: undefined }, own.shared),
  presenter: own.presenter,
  reserve: Effect.map(own.reserve, (reserved) => session(shard, reserved)),
  describe: (sql) => called({ shard, session: undefined }, "planning", sql, [], own.describe(sql)),
  inspect: (sql, params) => called({ shard, session: undefined }, "planning", sql, params, own.inspect(sql, params)),
  settle: (sql) => called({ shard, session: undefined }, "protocol", sql, [], own.settle(sql))
})

interface At {
  readonly shard: ShardId
  readonly session: number | undefined
}

const session = (shard: ShardId, own: ShardSession): ShardSession => {
  const at: At = { shard, session: nextId() }
  const { ahead, copyFrom, copyIn, dismiss, send } = own
  return {
    ...connection(at, own),
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

const connection = (at: At, own: ShardConnection): ShardConnection => ({
  ...statements(at, own),
  executeText: (sql, params, bound) => called(at, undefined, sql, params, own.executeText(sql, params, bound)),
  executeStream: (sql, params) => calledStream(at, sql, params, own.executeStream(sql, params), Chunk.size),
  streamPages: (sql, params) => calledStream(at, sql, params, own.streamPages(sql, params), rowsInPages)
})

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
  const { observer, statement: asked, transaction: inside } = observation
  const clock = Context.get(fiber.currentDefaultServices, Clock.Clock)
  const call = nextId()
  const started: CallStarted = {
    _tag: "CallStarted",
    ...at,
    call,
    role: given ?? (asked === undefined || asked.sql === sql ? "statement" : "part"),
    sql,
    params,
    statement: asked?.id,
    // What runs beside a transaction is none of it.
    transaction: at.session === undefined && given !== "protocol" ? undefined : inside,
    atMillis: clock.unsafeCurrentTimeMillis()
  }
  observer(started)
  const millis = stopwatch(clock)
  return (exit, rows) => observer({ _tag: "CallEnded", call, ...endingOf(exit, rows), millis: millis() })
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
