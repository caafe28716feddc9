/**
 * A bounded map that forgets the least recently used entry first, and entries past their time.
 *
 * Synchronous, as the hot path asks it. Relies on `Map` keeping insertion order: the first key is the oldest.
 */
export interface LruCache<V> {
  readonly get: (key: string) => V | undefined
  readonly set: (key: string, value: V) => void
  readonly delete: (key: string) => void
  readonly deleteWhere: (predicate: (key: string) => boolean) => void
  readonly size: () => number
}

interface Entry<V> {
  readonly value: V
  readonly expiresMillis: number
}

export const makeLruCache = <V>(options: {
  readonly entriesMax: number
  /** `Infinity`: entries do not age. */
  readonly timeToLiveMillis: number
  readonly nowMillis: () => number
}): LruCache<V> => {
  const { entriesMax, nowMillis, timeToLiveMillis } = options
  const ages = timeToLiveMillis !== Infinity
  const entries = new Map<string, Entry<V>>()

  return {
    get: (key) => {
      const entry = entries.get(key)
      if (entry === undefined) return undefined
      entries.delete(key)
      if (ages && entry.expiresMillis <= nowMillis()) return undefined
      entries.set(key, entry)
      return entry.value
    },
    set: (key, value) => {
      if (entriesMax < 1) return
      entries.delete(key)
      entries.set(key, { value, expiresMillis: ages ? nowMillis() + timeToLiveMillis : Infinity })
      if (entries.size <= entriesMax) return
      for (const oldest of entries.keys()) {
        entries.delete(oldest)
        return
      }
    },
    delete: (key) => {
      entries.delete(key)
    },
    deleteWhere: (predicate) => {
      for (const key of entries.keys()) if (predicate(key)) entries.delete(key)
    },
    size: () => entries.size
  }
}
