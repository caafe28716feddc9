// One server for a whole test run. Enters: nothing; leaves: its address in the environment of every test file, where clusters
// of mode "databases" find it. Ends with the run; when the run is killed, the watchdog ends it.
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as PgServer from "@shardlayer/testing/PgServer"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"

export default async () => {
  const scope = await Effect.runPromise(Scope.make())
  const { host, port, username } = await Effect.runPromise(
    Scope.extend(PgServer.make({ name: "shared", maxConnections: 400 }), scope).pipe(
      Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
    )
  )
  process.env[PgCluster.sharedServerVariable] = JSON.stringify({ host, port, username })
  return () => Effect.runPromise(Scope.close(scope, Exit.void))
}
