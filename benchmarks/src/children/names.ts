/** The contenders of streams and of memory, known to those who start them and to the processes that they run in. */

export const plainName = "@effect/sql-pg, one server"
export const foreignName = "postgres_fdw, pg-cursor"

export const names = [
  plainName,
  "routed",
  "routed, reads perShard",
  "pg-cursor, one server",
  "postgres.js, one server",
  "COPY as text, one server",
  "hand, 4 pg-cursors merged",
  foreignName
] as const

export const plansTotal = 2_000

export const states = [plainName, "pg, one server", "routed", "routed, 2,000 plans"] as const
