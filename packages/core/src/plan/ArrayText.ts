/**
 * Arrays as PostgreSQL writes them in text: `{1,2,NULL,"a b"}`.
 *
 * Enters: text. Leaves: the elements, or undefined. Holds: elements are those that `array_in` reads. One dimension,
 * nothing but elements and commas between the braces; any other text is left to the server.
 *
 * @since 0.1.0
 */

const element = /(?:"((?:[^"\\]|\\.)*)"|([^\s{}",\\]+))(,|$)/suy

/** @since 0.1.0 @category functions */
export const elements = (text: unknown): ReadonlyArray<string | null> | undefined => {
  if (typeof text !== "string" || !text.startsWith("{") || !text.endsWith("}")) return undefined
  const inner = text.slice(1, -1)
  const found: Array<string | null> = []
  if (inner === "") return found
  element.lastIndex = 0
  for (;;) {
    const match = element.exec(inner)
    if (match === null) return undefined
    const [, quoted, bare = "", end] = match
    if (quoted !== undefined) found.push(quoted.replace(/\\(.)/gsu, "$1"))
    else found.push(bare.toLowerCase() === "null" ? null : bare)
    if (end === "") return found
  }
}
