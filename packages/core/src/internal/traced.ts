/** Is there anybody who would see a span? Effect's own default tracer shows them to nobody. */
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import type * as Fiber from "effect/Fiber"
import * as Tracer from "effect/Tracer"

const silentTracer = Context.get(DefaultServices.liveServices, Tracer.Tracer)

export const isTraced = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean =>
  Context.get(fiber.getFiberRef(DefaultServices.currentServices), Tracer.Tracer) !== silentTracer
