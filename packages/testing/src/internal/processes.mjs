// The process table, read in one go. Enters: nothing, or what to look for. Leaves: pids with parent and command line.
// Plain JavaScript, because the watchdog runs it with bare `node` while the sources are still TypeScript.
// Approximates: a zombie has no command line and is never listed by name, which is right, it holds nothing any more.
import { execFileSync } from "node:child_process"
import { readFileSync, readdirSync, readlinkSync } from "node:fs"
import { basename } from "node:path"

/** Every process as { pid, parent, command }; arguments are joined by a blank. */
export const list = () => (process.platform === "linux" ? listProc() : listPs())

/** The live children of a pid. */
export const childrenOf = (pid) =>
  list()
    .filter((entry) => entry.parent === pid)
    .map((entry) => entry.pid)

/**
 * The PostgreSQL processes that belong to a token, which is a name no other process carries by chance: postmasters
 * and initdb have it in an argument or are in a folder of that name, backends in the cluster_name their title shows.
 * Only programs of ours are taken, so that someone reading a log of that folder is not ended with it.
 */
export const ownedBy = (token) =>
  list()
    .filter((entry) => isOurs(entry.command) && (entry.command.includes(token) || folderOf(entry.pid).includes(token)))
    .map((entry) => entry.pid)

/** Sends a signal; a process that is gone already is not an error. */
export const signal = (pid, name) => {
  try {
    process.kill(pid, name)
  } catch (error) {
    if (error.code !== "ESRCH") throw error
  }
}

/** Frees the System V segment that a killed postmaster leaves: line 7 of its postmaster.pid holds key and id. */
export const freeSharedMemory = (dataFolder) => {
  try {
    const id = readFileSync(`${dataFolder}/postmaster.pid`, "utf8").split("\n")[6]?.trim().split(/\s+/)[1]
    if (id !== undefined && /^\d+$/.test(id)) execFileSync("ipcrm", ["-m", id], { stdio: "ignore" })
  } catch {
    // No such file: it ended in order. No such segment, or no ipcrm: 56 bytes stay until the machine restarts.
  }
}

const isOurs = (command) => command.startsWith("postgres:") || programs.has(basename(command.split(" ")[0] ?? ""))

const programs = new Set(["postgres", "initdb"])

const folderOf = (pid) => {
  try {
    return readlinkSync(`/proc/${pid}/cwd`)
  } catch {
    return ""
  }
}

const listProc = () => {
  const entries = []
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue
    try {
      // The second field is the program name in brackets and may hold anything, so fields are counted behind it.
      const stat = readFileSync(`/proc/${name}/stat`, "utf8")
      const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
      if (state === "Z") continue
      const command = readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ").trim()
      entries.push({ pid: Number(name), parent: Number(parent), command })
    } catch {
      // It ended between the two looks.
    }
  }
  return entries
}

const listPs = () =>
  execFileSync("ps", ["-A", "-o", "pid=,ppid=,state=,command="], { encoding: "utf8", maxBuffer: 16 * 1024 * 1024 })
    .split("\n")
    .flatMap((line) => {
      const found = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line)
      if (found === null || found[3].startsWith("Z")) return []
      return [{ pid: Number(found[1]), parent: Number(found[2]), command: found[4] }]
    })
