/**
 * Arrays of scalars as the driver writes them, in less time.
 *
 * Enters: an array as a program gives it. Leaves: the text that the driver would send, letter for letter; undefined where
 * it is left to the driver.
 */
import { dateText } from "./dateText.js"
import { prepareValue } from "./wire.js"

/** Fewer are the driver's. */
const elementsMin = 4

export const arrayText = (values: ReadonlyArray<unknown>): string | undefined => {
  if (values.length < elementsMin) return undefined
  let text = "{"
  for (let place = 0; place < values.length; place++) {
    const value = values[place]
    if (place > 0) text += ","
    if (value === null || value === undefined) text += "NULL"
    else if (typeof value === "string") text += special.test(value) ? escaped(value) : `"${value}"`
    else if (typeof value === "number" || typeof value === "boolean" || typeof value === "bigint") text += `"${value}"`
    else if (value instanceof Date) text += `"${dateText(value) ?? String(prepareValue(value))}"`
    else return undefined
  }
  return `${text}}`
}

const special = /["\\]/

const escaped = (value: string): string => `"${value.replace(/["\\]/g, "\\$&")}"`
