/**
 * How the examples talk: headings, sentences, statements with where they run and what they gave.
 *
 * Holds: lines go to Effect's `Console`, where a test can read them.
 */
import type { Statement } from "@effect/sql/Statement"
import type { ShardError } from "@shardlayer/core/ShardError"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import type { Row } from "./compare.js"
import * as Render from "./render.js"

const paint = Render.paint(process.stdout)

export const heading = (text: string): Effect.Effect<void> => Console.log(`\n${paint.bold(text)}`)

export const line = (text: string): Effect.Effect<void> => Console.log(`  ${text}`)

/** Something that was looked at, and holds. */
export const holds = (text: string): Effect.Effect<void> => line(`${paint.green("✓")} ${text}`)

/** Runs a statement, and tells its text, its plan and its first rows. */
export const statement = <A extends Row>(
  given: Statement<A>
): Effect.Effect<ReadonlyArray<A>, ShardError, ShardRouter.ShardRouter> =>
  Effect.gen(function* () {
    const router = yield* ShardRouter.ShardRouter
    yield* plan(given)
    const rows = yield* router.query(given)
    yield* lines(Render.table(paint, rows))
    return rows
  })

/** Tells a statement and its plan. It is not run. */
export const plan = (given: Statement<Row>): Effect.Effect<void, ShardError, ShardRouter.ShardRouter> =>
  Effect.flatMap(planned(paint, given), lines)

/** The text of a statement, and where it would run. */
export const planned = (
  colours: Render.Paint,
  given: Statement<Row>
): Effect.Effect<ReadonlyArray<string>, ShardError, ShardRouter.ShardRouter> =>
  Effect.map(
    Effect.flatMap(ShardRouter.ShardRouter, (router) => router.explain(given)),
    (explanation) => [...Render.statement(colours, ...given.compile()), ...Render.plan(colours, explanation)]
  )

/** What must not be answered: tells the error that comes instead. */
export const refused = <A, E extends { readonly _tag: string; readonly message: string }, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<E, A, R> =>
  Effect.tap(Effect.flip(effect), (error) => line(`${paint.yellow(error._tag)} ${error.message}`))

const lines = (texts: ReadonlyArray<string>): Effect.Effect<void> =>
  Effect.forEach(texts, (text) => Console.log(text), { discard: true })
