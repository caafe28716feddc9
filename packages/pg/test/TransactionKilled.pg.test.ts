/**
 * Processes that commit over several shards and are killed at a command of it, with SIGKILL. Another process's router
 * ends what they began: when asked, or by itself in the background.
 */
import { describe, expect, it } from "@effect/vitest"
import * as Recovery from "@shardlayer/core/Recovery"
import { ShardRouter, type ShardRouterService } from "@shardlayer/core/ShardRouter"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { Scope } from "effect/Scope"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createRequire } from "node:module"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import type { Point } from "./crash/faults.js"
import * as World from "./crash/world.js"
import { eventually } from "./eventually.js"
import type { Orders } from "./fixtures/transfers.js"

const fixture = (name: string) => fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url))
const viteNode = createRequire(createRequire(import.meta.url).resolve("vitest/package.json")).resolve(
  "vite-node/vite-node.mjs"
)

interface Program {
  readonly run: (orders: Orders) => void
  /** What it says next. */
  readonly line: Effect.Effect<string>
  readonly kill: Effect.Effect<void>
}

const makeProgram: Effect.Effect<Program, never, Scope> = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [viteNode, "--config", fixture("vite.config.ts"), "--script", fixture("transfers.ts")], {
        stdio: ["pipe", "pipe", "inherit"]
      })
    ),
    (child) => Effect.sync(() => void child.kill("SIGKILL"))
  ),
  (child) => {
    const gone = once(child, "exit")
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
    return {
      run: (orders) => void child.stdin.write(`${JSON.stringify(orders)}\n`),
      line: Effect.map(
        Effect.promise(() => lines.next()),
        ({ value }): string => value ?? "its end"
      ),
      kill: Effect.suspend(() => {
        child.kill("SIGKILL")
        return Effect.asVoid(Effect.promise(() => gone))
      })
    }
  }
)

/** Starts them ahead of use: a program takes longer to start than to be killed. */
const programs = (count: number) =>
  Effect.map(
    Effect.forEach(Array.from({ length: Math.min(count, ahead) }), () => makeProgram),
    (started) => {
      const waiting = [...started]
      let left = count - started.length
      return Effect.gen(function* () {
        const program = waiting.shift()
        if (program === undefined) throw new Error("more programs than were said to be needed")
        if (left-- > 0) waiting.push(yield* makeProgram)
        return program
      })
    }
  )

const ahead = 2

/** Kills a program at each of the points; `settled` is what there is to see after that. */
const killAt = (world: World.World, points: ReadonlyArray<Point>, settled: Effect.Effect<World.View, unknown>) =>
  Effect.gen(function* () {
    const nextProgram = yield* programs(points.length)
    const { direct } = world.urls
    const urls: Orders["urls"] = {
      shard_1: Redacted.value(direct.shard_1),
      shard_2: Redacted.value(direct.shard_2),
      shard_3: Redacted.value(direct.shard_3)
    }
    let contents = World.initial
    let entry = 1
    const ends: Array<readonly [Point, boolean | undefined]> = []
    for (const at of points) {
      const program = yield* nextProgram
      expect(yield* program.line).toBe("ready")
      program.run({ urls, entry, at })
      expect(yield* program.line).toBe("committed")
      contents = World.after(contents, entry)
      expect(yield* program.line).toBe("there")
      yield* program.kill
      const view = yield* settled
      expect(view.left.map(({ prepared }) => prepared)).toEqual([0, 0, 0])
      const isThere = World.isThere(view, contents, entry + 1)
      ends.push([at, isThere])
      contents = view.contents
      entry += 2
    }
    return ends
  })

const before = (step: Point["step"], nth: number): Point => ({ step, nth, when: "before" })
const after = (step: Point["step"], nth: number): Point => ({ step, nth, when: "after" })

/** What stands once it is decided. */
const isDecided = ({ step, when }: Point): boolean => step === "finish" || (step === "decide" && when === "after")

const expected = (points: ReadonlyArray<Point>) => points.map((at) => [at, isDecided(at)])

describe("a process that is killed", () => {
  it.scopedLive(
    "at each kind of command: another one's recovery ends what it began",
    () =>
      Effect.gen(function* () {
        const world = yield* World.makeSharedWorld()
        const survivor = yield* World.openRouter(world, { proxied: false, install: true })
        const points = [
          before("write", 0),
          after("write", 2),
          before("enter", 1),
          after("enter", 2),
          before("prepare", 0),
          after("prepare", 0),
          before("prepare", 1),
          after("prepare", 1),
          before("decide", 0),
          after("decide", 0),
          before("finish", 0),
          after("finish", 0),
          after("finish", 1)
        ]
        expect(yield* killAt(world, points, World.settled(world, survivor))).toEqual(expected(points))
      }),
    240_000
  )

  it.scopedLive(
    "while another one looks in the background and writes, too: nobody has to ask",
    () =>
      Effect.gen(function* () {
        const world = yield* World.makeSharedWorld()
        const survivor = yield* World.openRouter(world, { proxied: false, install: true })
        yield* looking(survivor)
        let touches = 0
        // Recovery may come before a commit of a slow machine: then it is undone, and said so.
        const touching = Effect.match(touch(survivor), { onSuccess: () => void touches++, onFailure: () => {} })
        yield* Effect.forkScoped(Effect.forever(Effect.delay(touching, 10)))
        const points = [
          after("enter", 0),
          after("prepare", 1),
          before("decide", 0),
          after("decide", 0),
          after("finish", 0)
        ]
        const settled = eventually(Effect.orDie(World.look(world)), ({ left }) =>
          left.every(({ prepared }) => prepared === 0)
        )
        expect(yield* killAt(world, points, settled)).toEqual(expected(points))
        expect(touches).toBeGreaterThan(10)
      }),
    240_000
  )
})

const looking = (router: ShardRouterService) =>
  Layer.build(
    Recovery.layer({ interval: "200 millis", grace: "200 millis" }).pipe(
      Layer.provide(Layer.succeed(ShardRouter, router))
    )
  )

/** A commit over all shards that changes nothing. */
const touch = ({ client: sql, transaction }: ShardRouterService) =>
  transaction(Effect.forEach([1, 101, 201], (id) => sql`update accounts set balance = balance where id = ${id}`))
