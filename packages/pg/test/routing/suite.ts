/**
 * The routing suite: what the routed client promises, on any kind of database.
 */
import { layer } from "@effect/vitest"
import type { Backend } from "./Backend.js"
import { forms } from "./forms.js"
import { oneShard } from "./oneShard.js"
import { pins } from "./pins.js"
import { reads } from "./reads.js"
import { refusals } from "./refusals.js"
import * as Routing from "./Routing.js"
import { schemaChanges } from "./schemaChanges.js"
import { transactions } from "./transactions.js"
import { writes } from "./writes.js"

export const routingSuite = (backend: Backend): void =>
  layer(Routing.layer(backend), { excludeTestServices: true, timeout: 120_000 })(`routing on ${backend.name}`, (it) => {
    reads(it)
    writes(it)
    forms(it)
    transactions(it)
    pins(it)
    refusals(it)
    schemaChanges(it)
    oneShard(it)
  })
