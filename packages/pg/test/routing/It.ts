/** What the parts of the suite register their tests with. */
import type { Vitest } from "@effect/vitest"
import type * as Routing from "./Routing.js"

export type It = Vitest.MethodsNonLive<Routing.Routing, true>
