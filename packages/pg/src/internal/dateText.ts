/**
 * Dates as the driver writes them, in less time.
 *
 * Leaves: the text that the driver would send, letter for letter, where local time is UTC and the year has four digits;
 * undefined where it is left to the driver.
 */

const first = Date.UTC(1000, 0)
const end = Date.UTC(10_000, 0)

/** Written in a usual way. */
export const isUsual = (value: object): value is Date => {
  if (!(value instanceof Date) || Object.getPrototypeOf(value) !== Date.prototype) return false
  const time = value.getTime()
  return time >= first && time < end && value.getTimezoneOffset() === 0
}

export const dateText = (value: object): string | undefined =>
  isUsual(value) ? `${value.toISOString().slice(0, -1)}+00:00` : undefined
