/**
 * Routers that die in the middle of a commit, as processes of their own (`dyingRouter`).
 *
 * Holds: they end by SIGKILL, which no finalizer survives, and have left the shards as they were at that moment.
 */
import type { Statement } from "@effect/sql/Statement"
import * as Topology from "@shardlayer/core/topology/Topology"
import type * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import type { Row } from "./compare.js"

/** Before the decision to commit, or after it and before the other shards have heard of it. */
export type Moment = "prepared" | "decided"

/** What the process is told. */
export interface Death {
  readonly topology: string
  readonly shards: Readonly<Record<string, string>>
  readonly statements: ReadonlyArray<readonly [text: string, params: ReadonlyArray<unknown>]>
  readonly at: Moment
}

export class RouterSurvived extends Data.TaggedError("RouterSurvived")<{
  readonly code: number | null
  readonly said: string
}> {
  override get message(): string {
    return `the router that was to die ended with ${this.code}: ${this.said}`
  }
}

/** A router over these shards runs the statements in one transaction, and is killed. Leaves the transaction's name. */
export const killed =
  (topology: Topology.Topology, shards: ReadonlyArray<PgCluster.Node>) =>
  (at: Moment, statements: ReadonlyArray<Statement<Row>>): Effect.Effect<string, RouterSurvived> =>
    started({
      topology: Topology.encodeJson(topology),
      shards: Object.fromEntries(shards.map(({ id, url }) => [id, Redacted.value(url)])),
      statements: statements.map((statement) => statement.compile()),
      at
    })

const program = fileURLToPath(new URL("./dyingRouter.js", import.meta.url))

const started = (death: Death) =>
  Effect.async<string, RouterSurvived>((resume) => {
    const child = spawn(process.execPath, [program], {
      env: { ...process.env, EXAMPLE_DEATH: JSON.stringify(death) },
      stdio: ["ignore", "pipe", "pipe"]
    })
    let [transaction, said] = ["", ""]
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      transaction += text
    })
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text
    })
    child.once("close", (code, signal) =>
      resume(signal === "SIGKILL" ? Effect.succeed(transaction) : Effect.fail(new RouterSurvived({ code, said })))
    )
    return Effect.sync(() => void child.kill("SIGKILL"))
  })
