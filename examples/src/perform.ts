/**
 * Performs a scene: shows the statement and its plan, runs it on the router and on the server that holds everything,
 * shows rows and times, and compares. Leaves how many answers were compared; fails where one differs.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import type { Statement } from "@effect/sql/Statement"
import { isShardError, type ShardError } from "@shardlayer/core/ShardError"
import type * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { difference, type Row } from "./compare.js"
import * as Render from "./render.js"
import * as Scenes from "./scenes.js"
import type { Scene } from "./scenes.js"
import * as Tell from "./tell.js"

/** The demo's own failure: the router answered otherwise than one server, or answered what it must refuse. */
export class AnswersDiffer extends Data.TaggedError("AnswersDiffer")<{
  readonly scene: string
  readonly reason: string
}> {
  override get message(): string {
    return `"${this.scene}": ${this.reason}`
  }
}

export interface Stage {
  readonly screen: Render.Screen
  /** The server that holds everything. */
  readonly single: SqlClient.SqlClient
}

type Performed = Effect.Effect<
  number,
  AnswersDiffer | SqlError | ShardError,
  SqlClient.SqlClient | ShardRouter.ShardRouter
>

export const perform = (stage: Stage, scene: Scene): Performed => {
  switch (scene._tag) {
    case "Read":
      return read(stage, scene)
    case "Program":
      return program(stage, scene)
    case "Refused":
      return refused(stage, scene)
  }
}

const read = (stage: Stage, scene: Extract<Scene, { _tag: "Read" }>): Performed =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* show(stage, scene.statement(sql))
    const [first] = yield* timed(scene.statement(sql))
    const [again, rows] = yield* timed(scene.statement(sql))
    const [alone, expected] = yield* timed(scene.statement(stage.single))
    const times = `${Render.millis(again)} (the first time ${Render.millis(first)}, one server ${Render.millis(alone)})`
    return yield* compared(stage, scene, rows, expected, times)
  })

const program = (stage: Stage, scene: Extract<Scene, { _tag: "Program" }>): Performed =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { around = (effect) => effect, transaction = false } = scene
    for (const statement of scene.statements(sql)) yield* around(show(stage, statement))
    const [here, rows] = yield* timed(around(Scenes.run(scene.statements(sql), sql, transaction)))
    const [alone, expected] = yield* timed(Scenes.run(scene.statements(stage.single), stage.single, transaction))
    return yield* compared(stage, scene, rows, expected, `${Render.millis(here)} (one server ${Render.millis(alone)})`)
  })

const refused = (stage: Stage, scene: Extract<Scene, { _tag: "Refused" }>): Performed =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { around = (effect) => effect } = scene
    const statement = scene.statement(sql)
    const [text, params] = statement.compile()
    const [here, error] = yield* timed(Effect.flip(around(statement))).pipe(
      Effect.mapError((rows) => new AnswersDiffer({ scene: scene.title, reason: `answered with ${rows.length} rows` })),
      Effect.map(([time, failure]) => [time, typed(failure)] as const)
    )
    if (error._tag !== scene.error) {
      return yield* new AnswersDiffer({ scene: scene.title, reason: `failed with ${error._tag}: ${error.message}` })
    }
    const { line, paint } = stage.screen
    const shown =
      error._tag === "UnsupportedQuery"
        ? Render.refusal(paint, error)
        : [...Render.statement(paint, text, params), `     ${paint.yellow(error._tag)} ${error.message}`]
    for (const row of shown) line(row)
    line(paint.dim(`     ${Render.millis(here)}, and nothing was run on any shard`))
    return 0
  })

/** Through the plain client a typed error arrives as the cause of a `SqlError`. */
const typed = (error: SqlError | ShardError): SqlError | ShardError =>
  error instanceof SqlError && isShardError(error.cause) ? error.cause : error

const show = ({ screen }: Stage, statement: Statement<Row>) =>
  Effect.map(Tell.planned(screen.paint, statement), (lines) => {
    for (const line of lines) screen.line(line)
  })

const compared = (
  stage: Stage,
  { title, ...scene }: Extract<Scene, { _tag: "Read" | "Program" }>,
  rows: ReadonlyArray<Row>,
  expected: ReadonlyArray<Row>,
  times: string
): Effect.Effect<number, AnswersDiffer> => {
  const { line, paint } = stage.screen
  for (const shown of Render.table(paint, rows)) line(shown)
  const inOrder = scene._tag === "Read" && scene.inOrder === true
  const reason = difference(rows, expected, inOrder)
  if (reason !== undefined) return Effect.fail(new AnswersDiffer({ scene: title, reason }))
  const many = rows.length === 1 ? "1 row" : `${Render.count(rows.length)} rows`
  line(`     ${paint.green("✓")} ${many}, equal to the fifth server's answer  ${paint.dim(times)}`)
  return Effect.succeed(1)
}

const timed = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<readonly [millis: number, A], E, R> =>
  Effect.map(Effect.timed(effect), ([duration, value]) => [Duration.toMillis(duration), value] as const)
