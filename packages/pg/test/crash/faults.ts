/** The points at which these tests break a commit: those that users have. */
export { answerLost, type Point, type Step, type Strike, Trigger } from "@shardlayer/testing/CrashPoints"
