// One server for a whole test run. Enters: nothing; leaves: its address in the environment of every test file, where clusters
// of mode "databases" find it. Ends with the run; when the run is killed, the watchdog ends it.
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as PgServer from "@shardlayer/testing/PgServer"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Workspace from "../src/internal/workspace.js"

export default async () => {
  const scope = await Effect.runPromise(Scope.make())
  await Effect.runPromise(
    Scope.extend(start, scope).pipe(Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))))
  )
  return () => Effect.runPromise(Scope.close(scope, Exit.void))
}

const start = Effect.gen(function* () {
  const { host, port, username } = yield* PgServer.make({ name: "shared", maxConnections: 400 })
  process.env[PgCluster.sharedServerVariable] = JSON.stringify({ host, port, username })
  // Files that start servers of their own copy this run's data directory.
  yield* Workspace.bequeath(yield* Workspace.get({}), "C")
})
