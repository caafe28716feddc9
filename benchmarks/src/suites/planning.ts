/** From the text to the shards, without running anything: the plan from the cache, made anew, and what a miss costs. */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { openRouter } from "../clients/router.js"
import type { Lab } from "../lab.js"
import type { Work } from "../work.js"

export const name = "planning"

export const make = (lab: Lab): Effect.Effect<ReadonlyArray<Work>, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const router = yield* openRouter(yield* lab.cluster(4))
    const sql = router.client
    let turn = 0
    const explained = (
      name_: string,
      statement: (index: number, client: SqlClient) => ReturnType<SqlClient["unsafe"]>
    ) => ({
      name: name_,
      request: Effect.suspend(() => router.explain(statement(turn++, sql)))
    })
    return [
      {
        id: `${name}/explain`,
        title: "From a text to its shards, nothing run",
        shards: 4,
        inFlight: 1,
        baseline: "point read, plan cached",
        contenders: [
          explained("point read, plan cached", (_, client) => client`SELECT name FROM accounts WHERE id = ${7}`),
          explained("point read, planned anew", (index, client) =>
            client.unsafe(`SELECT name FROM accounts WHERE id = ${index}`)
          ),
          explained("point read, anew, a type asked of a shard", (index, client) =>
            client.unsafe(`SELECT name, ${index} AS n FROM accounts WHERE id = $1`, [7])
          ),
          explained("group by, plan cached", (_, client) =>
            client.unsafe("SELECT status, sum(amount), avg(amount) FROM orders GROUP BY status ORDER BY status")
          ),
          explained("group by, planned anew", (index, client) =>
            client.unsafe(
              `SELECT status, sum(amount), avg(amount) FROM orders WHERE customer > ${index} GROUP BY status ORDER BY status`
            )
          ),
          explained("INSERT of 100 rows, plan cached", (_, client) =>
            client.unsafe(`INSERT INTO events (id, name) VALUES ${hundred}`)
          ),
          explained("INSERT of 100 rows, planned anew", (index, client) =>
            client.unsafe(`INSERT INTO events (id, name) VALUES (${1_000_000 + index}, 'n'), ${hundred}`)
          )
        ]
      }
    ]
  })

const hundred = Array.from({ length: 100 }, (_, row) => `(${row}, 'event ${row}')`).join(", ")
