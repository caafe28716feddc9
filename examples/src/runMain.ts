/**
 * Runs a program as a process: exit code 0, 1 with a message on failure, 130 on Ctrl-C and 143 on SIGTERM.
 *
 * Holds: the program's finalizers have run before the process ends, unless a second signal says not to wait.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { pathToFileURL } from "node:url"

const exitCodes = { SIGINT: 130, SIGTERM: 143 } as const

export const runMain = <E>(program: Effect.Effect<void, E>): void => {
  let stoppedBy: keyof typeof exitCodes | undefined
  const fiber = Effect.runFork(program)

  const stop = (signal: keyof typeof exitCodes) => () => {
    if (stoppedBy !== undefined) process.exit(exitCodes[signal])
    stoppedBy = signal
    fiber.unsafeInterruptAsFork(fiber.id())
  }
  process.on("SIGINT", stop("SIGINT"))
  process.on("SIGTERM", stop("SIGTERM"))

  fiber.addObserver((exit) => {
    if (stoppedBy !== undefined) {
      process.stderr.write("\nstopped; the servers are gone\n")
      process.exit(exitCodes[stoppedBy])
    }
    if (Exit.isSuccess(exit)) process.exit(0)
    process.stderr.write(`\nIt failed. ${messageOf(exit.cause)}\n`)
    process.exit(1)
  })
}

/** The same where `url` is the module that was started: a test that imports it runs nothing. */
export const runIfMain = <E>(url: string, program: Effect.Effect<void, E>): void => {
  if (process.argv[1] !== undefined && url === pathToFileURL(process.argv[1]).href) runMain(program)
}

/** One sentence for what may happen; the whole story for what may not. */
const messageOf = (cause: Cause.Cause<unknown>): string => {
  const failure = Cause.failureOption(cause)
  if (failure._tag === "None") return Cause.pretty(cause, { renderErrorCause: true })
  const error = failure.value
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}
