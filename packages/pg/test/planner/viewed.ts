/** A statement of `generator.ts` with its derived tables made views, innermost first, so that views stand in views. */

export interface Viewed {
  readonly sql: string
  readonly definitions: ReadonlyArray<string>
}

/** `create` makes a view, or says that it cannot be one: it refers to what is around it, or to parameters. */
export const viewed = async (
  sql: string,
  prefix: string,
  create: (definition: string) => Promise<boolean>
): Promise<Viewed> => {
  const definitions: Array<string> = []
  const tried = new Set<string>()
  let written = sql
  for (let next = innermost(written, tried); next !== undefined; next = innermost(written, tried)) {
    const query = written.slice(next.from + 1, next.to)
    tried.add(query)
    const name = `${prefix}_${definitions.length}`
    const definition = `create view ${name} as ${query}`
    if (/\$\d/.test(query) || !(await create(definition))) continue
    definitions.push(definition)
    written = `${written.slice(0, next.from)}${name}${written.slice(next.to + 1)}`
  }
  return { sql: written, definitions }
}

/** The place of a derived table without another one in it that was not tried. */
const innermost = (sql: string, tried: ReadonlySet<string>) => {
  const found: Array<{ readonly from: number; readonly to: number }> = []
  const open: Array<number> = []
  for (let at = 0; at < sql.length; at++) {
    if (sql[at] === "(") open.push(at)
    if (sql[at] !== ")") continue
    const from = open.pop() ?? 0
    const isDerived =
      sql.startsWith("select ", from + 1) &&
      !sql.slice(0, from).endsWith("lateral ") &&
      / (from|join) \(?$|, $/.test(sql.slice(0, from)) &&
      /^ (q|b|a\d+)\b/.test(sql.slice(at + 1))
    if (isDerived) found.push({ from, to: at })
  }
  return found
    .filter(({ from, to }) => !tried.has(sql.slice(from + 1, to)))
    .sort((one, other) => one.to - one.from - (other.to - other.from))[0]
}
