/**
 * Rows of the caller's own: whoever changes them changes nobody else's.
 *
 * A copy, because a `Date` and a `Buffer` cannot be frozen, and because a program may sort or fill the rows it was given.
 * Rows, arrays, plain objects, dates and bytes are copied. A value of another class (an interval of `pg`, or what a parser
 * of the program's own made) is handed out as it is: nobody else knows how to copy it.
 */
export const copyRows = <A>(rows: ReadonlyArray<A>): ReadonlyArray<A> => rows.map((row) => copied(row) as A)

const copied = (value: unknown): unknown => {
  if (typeof value !== "object" || value === null) return value
  if (Array.isArray(value)) return value.map(copied)
  if (value instanceof Date) return new Date(value)
  // Of a Buffer, too, whose own `slice` would share the bytes.
  if (value instanceof Uint8Array) return Uint8Array.prototype.slice.call(value)
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return value
  const copy: Record<string, unknown> = prototype === null ? Object.assign(Object.create(null), value) : { ...value }
  for (const name of Object.keys(copy)) {
    const field = copy[name]
    if (typeof field === "object" && field !== null) copy[name] = copied(field)
  }
  return copy
}
