/* What the agent and a pod's shim say to each other on RUN/<pod>/shim.sock, and on the connection that the shim is
   started with, after its "R"; ts/shim-protocol.ts says the same, and a test compares the two. Both ends are on one
   machine and from one build or its neighbours: numbers are never reused.

   A frame is a header of 12 bytes, little-endian (u32 size of the payload, u16 type, u16 zero, u32 request), and its
   payload: fields of u16 tag, u32 size, value; or plain bytes for data frames. A field's value is a number of 4 or 8
   bytes, a string with its final NUL, bytes, or fields again. Unknown fields are skipped.

   Every request is answered by exactly one frame that bears its number. An EXEC turns its connection into that exec:
   data frames until EXEC_EXITED; so do ATTACH and CONNECT. An exit is told to all connections that asked for STATE
   and to the one that the shim was started with, with request number 0. */
#ifndef TS_PROTOCOL_H
#define TS_PROTOCOL_H

enum
{
  TS_HEADER_SIZE = 12,
  TS_FIELD_HEADER_SIZE = 6,
  /* argv and environment are at most 2 MiB in all for the kernel. */
  TS_MAX_PAYLOAD = 4 * 1024 * 1024,
  /* Of a data frame in either direction. */
  TS_MAX_DATA = 32 * 1024,
};

#define TS_FRAMES(X)                                                                                                   \
  /* from the agent */                                                                                                 \
  X (STATE, 1)    /* -> STATE_IS; from now on EXITED is sent here */                                                   \
  X (START, 2)    /* CONTAINER and its spec -> STARTED */                                                              \
  X (SIGNAL, 3)   /* CONTAINER, SIGNAL -> OK, also when it has ended */                                                \
  X (REMOVE, 4)   /* CONTAINER -> OK, also when there is none; its record is removed */                                \
  X (SHUTDOWN, 5) /* all are killed -> OK, then the shim ends */                                                       \
  X (EXEC, 6)     /* CONTAINER and its process -> EXEC_STARTED */                                                      \
  X (STDIN, 7)    /* bytes; waits while the process reads none */                                                      \
  X (STDIN_END, 8)                                                                                                     \
  X (RESIZE, 9)     /* COLUMNS, ROWS */                                                                                \
  X (EXEC_KILL, 10) /* PID of an exec, on any connection -> OK */                                                      \
  X (ATTACH, 11)    /* CONTAINER, ENDS_STDIN, EARLY_OUTPUT -> OK, then STDOUT and STDERR, until EXITED */              \
  X (CONNECT, 12) /* PORT of the pod -> OK, then STDIN and STDIN_END to it, STDOUT and STDOUT_END from it, or ERROR */ \
  /* from the shim */                                                                                                  \
  X (OK, 64)                                                                                                           \
  X (ERROR, 65)        /* REASON, ERRNO, STEP, OPERAND */                                                              \
  X (STATE_IS, 66)     /* PID of the shim, SANDBOX, a CONTAINER_STATE each */                                          \
  X (STARTED, 67)      /* PID, STARTED_AT */                                                                           \
  X (EXITED, 68)       /* CONTAINER_STATE */                                                                           \
  X (EXEC_STARTED, 69) /* PID */                                                                                       \
  X (STDOUT, 70)       /* bytes */                                                                                     \
  X (STDERR, 71)       /* bytes */                                                                                     \
  X (EXEC_EXITED, 72)  /* EXIT_CODE; after all output */                                                               \
  X (STDOUT_END, 73)   /* no more comes from the port; after the other end as well the shim hangs up */

#define TS_TAGS(X)                                                                                                   \
  X (SANDBOX, 1)                                                                                                     \
  X (CONTAINER, 2)                                                                                                   \
  X (CONTAINER_STATE, 3) /* CONTAINER, STARTED_AT, and PID or the end: FINISHED_AT, EXIT_CODE, SIGNAL, OOM_KILLED */ \
  X (PID, 4)                                                                                                         \
  X (STARTED_AT, 5)  /* u64, milliseconds since the epoch */                                                         \
  X (FINISHED_AT, 6) /* u64 */                                                                                       \
  X (EXIT_CODE, 7)   /* 128 + signal when one ended it */                                                            \
  X (SIGNAL, 8)                                                                                                      \
  X (OOM_KILLED, 9) /* 1 or 0 */                                                                                     \
  X (REASON, 10)    /* enum ts_reason */                                                                             \
  X (ERRNO, 11)                                                                                                      \
  X (STEP, 12)                                                                                                       \
  X (OPERAND, 13)                                                                                                    \
  /* process */                                                                                                      \
  X (ARGUMENT, 20) /* each */                                                                                        \
  X (VARIABLE, 21) /* each, "NAME=value" */                                                                          \
  X (CWD, 22)                                                                                                        \
  X (UID, 23)                                                                                                        \
  X (GID, 24)                                                                                                        \
  X (GROUP, 25)    /* each */                                                                                        \
  X (TERMINAL, 26) /* 1 or 0 */                                                                                      \
  X (COLUMNS, 27)                                                                                                    \
  X (ROWS, 28)                                                                                                       \
  X (STDIN_OPEN, 29) /* 1 or 0 */                                                                                    \
  /* root file system */                                                                                             \
  X (LOWER, 30) /* each, topmost first */                                                                            \
  X (UPPER, 31)                                                                                                      \
  X (WORK, 32)                                                                                                       \
  X (MOUNTPOINT, 33)                                                                                                 \
  X (READ_ONLY, 34) /* 1 or 0; of the root or of a mount */                                                          \
  /* mounts, in order */                                                                                             \
  X (MOUNT, 40) /* each: MOUNT_TYPE, SOURCE, SUB_PATH, DESTINATION, READ_ONLY, RECURSIVE, PROPAGATION, SIZE, MODE */ \
  X (MOUNT_TYPE, 41) /* enum ts_mount_type */                                                                        \
  X (SOURCE, 42)                                                                                                     \
  X (DESTINATION, 43)                                                                                                \
  X (RECURSIVE, 44)   /* 1 or 0 */                                                                                   \
  X (PROPAGATION, 45) /* enum ts_propagation */                                                                      \
  X (SIZE, 46)        /* u64 */                                                                                      \
  X (MODE, 47)                                                                                                       \
  X (SUB_PATH, 48) /* relative to SOURCE */                                                                          \
  /* rights and surroundings */                                                                                      \
  X (CAPABILITIES, 50) /* u64, a bit per number */                                                                   \
  X (NO_NEW_PRIVILEGES, 51)                                                                                          \
  X (PRIVILEGED, 52)                                                                                                 \
  X (SECCOMP, 53)    /* bytes, array of struct sock_filter */                                                        \
  X (CGROUP_DIR, 54) /* each */                                                                                      \
  X (HOST_PID, 55)                                                                                                   \
  X (OOM_SCORE_ADJ, 56)                                                                                              \
  X (LOG_PATH, 57)                                                                                                   \
  X (LOG_MAX_BYTES, 58) /* u64 */                                                                                    \
  X (LOG_MAX_FILES, 59)                                                                                              \
  X (ENDS_STDIN, 60) /* 1 or 0; the container's stdin ends with this connection */                                   \
  X (PORT, 61)                                                                                                       \
  X (POD_PID, 62)       /* 1 or 0; in the pid namespace that the pod's containers share, if the shim has one */      \
  X (INIT, 63)          /* 1 or 0; the command is run by an init */                                                  \
  X (TARGET, 64)        /* id of a running container: in its pid namespace */                                        \
  X (SECCOMP_FLAGS, 65) /* SECCOMP_FILTER_FLAG_... for SECCOMP */                                                    \
  X (EARLY_OUTPUT, 66)  /* 1 or 0; who attaches first also gets what came before */                                  \
  X (RLIMIT, 70)        /* each: RESOURCE, SOFT, HARD */                                                             \
  X (RESOURCE, 71)      /* number of setrlimit(2) */                                                                 \
  X (SOFT, 72)          /* u64, all ones for unlimited; so has HARD */                                               \
  X (HARD, 73)

#define TS_FRAME_NUMBER(name, number) TS_FRAME_##name = number,
#define TS_TAG_NUMBER(name, number) TS_TAG_##name = number,

enum ts_frame
{
  TS_FRAMES (TS_FRAME_NUMBER)
};

enum ts_tag
{
  TS_TAGS (TS_TAG_NUMBER)
};

#endif
