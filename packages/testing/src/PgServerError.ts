/**
 * What can go wrong with a server that tests start themselves. Each error names the platform, server or database
 * concerned and says what to do where that is known; the last lines of the server's own log come along.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"

/**
 * No PostgreSQL binary for this machine: either none is published (musl, an unusual processor, Windows), or the optional
 * package that holds it was not installed.
 *
 * @since 0.1.0
 * @category errors
 */
export class ServerBinaryMissing extends Data.TaggedError("ServerBinaryMissing")<{
  readonly platform: string
  readonly reason: string
}> {
  override get message(): string {
    return `No PostgreSQL server binary for ${this.platform}: ${this.reason}`
  }
}

/**
 * A server (or the data directory that servers are copied from) did not come up.
 *
 * @since 0.1.0
 * @category errors
 */
export class ServerStartFailed extends Data.TaggedError("ServerStartFailed")<{
  readonly server: string
  readonly reason: string
  readonly log?: string
  readonly cause?: unknown
}> {
  override get message(): string {
    return `${this.server} did not start: ${this.reason}${this.log ? `\n${this.log}` : ""}`
  }
}

/**
 * A server that was told to stop was still running when the wait ended.
 *
 * @since 0.1.0
 * @category errors
 */
export class ServerStopFailed extends Data.TaggedError("ServerStopFailed")<{
  readonly server: string
  readonly mode: string
  readonly waitedMillis: number
}> {
  override get message(): string {
    return `${this.server} was still running ${this.waitedMillis} ms after a ${this.mode} shutdown was asked for`
  }
}

/**
 * A helper's own statement failed, or its connection did. `cause` is the `pg` driver's error.
 *
 * @since 0.1.0
 * @category errors
 */
export class ServerQueryFailed extends Data.TaggedError("ServerQueryFailed")<{
  readonly server: string
  readonly sql: string
  readonly cause: unknown
}> {
  override get message(): string {
    return `${this.server}: ${this.cause instanceof Error ? this.cause.message : String(this.cause)}\n${this.sql}`
  }
}

/**
 * @since 0.1.0
 * @category errors
 */
export type PgServerError = ServerBinaryMissing | ServerStartFailed | ServerStopFailed | ServerQueryFailed
