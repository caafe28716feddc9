/**
 * A flame graph as one SVG without scripts: time to the right, callees above their callers, a colour for each package,
 * names and shares in tooltips.
 */

export interface Frame {
  readonly name: string
  readonly group: string
  readonly micros: number
  readonly children: ReadonlyArray<Frame>
}

const width = 1600
const rowHeight = 16
/** Narrower frames are left out, and all that stands on them: nobody could read them. */
const widthMin = 0.6

const colours: Readonly<Record<string, string>> = {
  "(v8)": "#bdbdbd",
  "(native)": "#d0d0c0",
  node: "#a5c7a0",
  pg: "#8fb8de",
  "pg-protocol": "#b3cfe8",
  "pg-pool": "#c9dcee",
  effect: "#f2c27e",
  "@effect/sql": "#eda45e",
  "@effect/sql-pg": "#e08a4a",
  "@shardlayer/core": "#e57d7d",
  "@shardlayer/pg": "#d76aa0",
  benchmarks: "#e6e6e6"
}

export const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")

export const flameGraph = (title: string, root: Frame): string => {
  const scale = width / Math.max(1, root.micros)
  const boxes: Array<string> = []
  let deepest = 0
  const seen = new Set<string>()
  const draw = (frame: Frame, x: number, depth: number): void => {
    const wide = frame.micros * scale
    if (wide < widthMin) return
    deepest = Math.max(deepest, depth)
    seen.add(frame.group)
    const share = ((frame.micros / root.micros) * 100).toFixed(2)
    const label = wide > 40 ? escape(frame.name.slice(0, Math.floor(wide / 6.2))) : ""
    boxes.push(
      `<g transform="translate(${x.toFixed(2)} ${-(depth + 1) * rowHeight})">` +
        `<title>${escape(`${frame.name} (${frame.group}) ${share} %`)}</title>` +
        `<rect width="${wide.toFixed(2)}" height="${rowHeight - 1}" fill="${colours[frame.group] ?? "#d9c9f0"}"/>` +
        (label === "" ? "" : `<text x="2" y="11">${label}</text>`) +
        "</g>"
    )
    let at = x
    for (const child of merged(frame.children)) {
      draw(child, at, depth + 1)
      at += child.micros * scale
    }
  }
  draw(root, 0, 0)
  const height = (deepest + 1) * rowHeight + 60
  const legend = [...seen]
    .map(
      (group, index) =>
        `<rect x="${4 + index * 130}" y="28" width="10" height="10" fill="${colours[group] ?? "#d9c9f0"}"/>` +
        `<text x="${18 + index * 130}" y="37">${escape(group)}</text>`
    )
    .join("")
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="monospace" font-size="10">` +
    `<rect width="100%" height="100%" fill="white"/><text x="4" y="18" font-size="14">${escape(title)}</text>${legend}` +
    `<g transform="translate(0 ${height - 4})">${boxes.join("\n")}</g></svg>\n`
  )
}

/** Calls of one function from one place are one box, whatever else was called between them. The widest first. */
const merged = (frames: ReadonlyArray<Frame>): ReadonlyArray<Frame> => {
  const byName = new Map<string, Frame>()
  for (const frame of frames) {
    const known = byName.get(frame.name)
    byName.set(
      frame.name,
      known === undefined
        ? frame
        : { ...known, micros: known.micros + frame.micros, children: [...known.children, ...frame.children] }
    )
  }
  return [...byName.values()].sort((one, other) => other.micros - one.micros)
}
