/** Charts as SVG text, by hand: bars with the spread of the rounds, and lines over a few places. */
import { count, short } from "./console.js"
import { escape } from "./flame.js"

export interface BarItem {
  readonly name: string
  readonly median: number
  readonly min: number
  readonly max: number
  /** What the others are compared with. */
  readonly baseline: boolean
  /** The library's own. */
  readonly ours: boolean
}

const font = 'font-family="system-ui, sans-serif" font-size="12"'
const labelWidth = 250
const plotWidth = 420
const valueWidth = 110
const barHeight = 20

const colourOf = ({ baseline, ours }: Pick<BarItem, "baseline" | "ours">): string =>
  ours ? "#c8553d" : baseline ? "#5b7b9a" : "#b8c4cf"

/** A bar for each; a line from the least to the most of the rounds. */
export const barChart = (title: string, unit: string, items: ReadonlyArray<BarItem>): string => {
  const width = labelWidth + plotWidth + valueWidth
  const height = 34 + items.length * barHeight + 4
  const most = Math.max(...items.map(({ max }) => max), Number.MIN_VALUE)
  const scale = (value: number) => ((value / most) * plotWidth).toFixed(1)
  const rows = items.map((item, index) => {
    const y = 34 + index * barHeight
    const middle = y + barHeight / 2 - 1
    return (
      `<text x="${labelWidth - 8}" y="${middle + 4}" text-anchor="end">${escape(item.name)}</text>` +
      `<rect x="${labelWidth}" y="${y}" width="${scale(item.median)}" height="${barHeight - 5}" fill="${colourOf(item)}"/>` +
      `<path d="M${labelWidth + Number(scale(item.min))} ${middle - 1}H${labelWidth + Number(scale(item.max))}" stroke="#222"/>` +
      `<text x="${labelWidth + plotWidth + 8}" y="${middle + 4}">${short(item.median)}</text>`
    )
  })
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" ${font}>` +
    `<rect width="100%" height="100%" fill="white"/>` +
    `<text x="8" y="18" font-weight="600">${escape(title)}</text>` +
    `<text x="${labelWidth + plotWidth + 8}" y="18" fill="#555">${escape(unit)}</text>${rows.join("")}</svg>\n`
  )
}

export interface Line {
  readonly name: string
  /** One a place; undefined where nothing was measured. */
  readonly values: ReadonlyArray<number | undefined>
  readonly ours: boolean
}

const lineColours = ["#5b7b9a", "#7a9e7e", "#b39b5b", "#8d7aa8"]

/** Places at equal distances, whatever they are. */
export const lineChart = (
  title: string,
  unit: string,
  places: ReadonlyArray<string>,
  lines: ReadonlyArray<Line>
): string => {
  const [width, height] = [780, 300]
  const [left, right, top, bottom] = [70, 230, 40, 40]
  const most = Math.max(...lines.flatMap(({ values }) => values.map((value) => value ?? 0)), Number.MIN_VALUE)
  const x = (at: number) => left + (at / Math.max(1, places.length - 1)) * (width - left - right)
  const y = (value: number) => height - bottom - (value / most) * (height - top - bottom)
  const grid = [0, 0.25, 0.5, 0.75, 1].map(
    (part) =>
      `<path d="M${left} ${y(most * part)}H${width - right}" stroke="#ddd"/>` +
      `<text x="${left - 6}" y="${y(most * part) + 4}" text-anchor="end" fill="#555">${count(most * part)}</text>`
  )
  const ticks = places.map(
    (place, at) =>
      `<text x="${x(at)}" y="${height - bottom + 18}" text-anchor="middle" fill="#555">${escape(place)}</text>`
  )
  const drawn = lines.map(({ name, ours, values }, index) => {
    const colour = ours ? "#c8553d" : (lineColours[index % lineColours.length] ?? "#888")
    const points = values.flatMap((value, at) =>
      value === undefined ? [] : [`${x(at).toFixed(1)},${y(value).toFixed(1)}`]
    )
    const dots = points.map((point) => `<circle cx="${point.replace(",", '" cy="')}" r="3" fill="${colour}"/>`).join("")
    return (
      `<polyline points="${points.join(" ")}" fill="none" stroke="${colour}" stroke-width="2"/>${dots}` +
      `<rect x="${width - right + 16}" y="${top + index * 20}" width="12" height="12" fill="${colour}"/>` +
      `<text x="${width - right + 34}" y="${top + index * 20 + 10}">${escape(name)}</text>`
    )
  })
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" ${font}>` +
    `<rect width="100%" height="100%" fill="white"/>` +
    `<text x="8" y="18" font-weight="600">${escape(title)}</text><text x="${left}" y="${top - 8}" fill="#555">${escape(unit)}</text>` +
    `${grid.join("")}${ticks.join("")}${drawn.join("")}</svg>\n`
  )
}
