/** Every limit and constant of the protocol, specification constants apart from our own. Times in microseconds, sizes in bytes. */

export const MILLISECOND = 1_000;
export const SECOND = 1_000_000;

// --- RFC 9002 (QUIC loss detection and congestion control), RFC 6298 ---

/** RFC 9002 section 6.1.1. */
export const PACKET_THRESHOLD = 3;
/** RFC 9002 section 6.1.2: 9/8. */
export const TIME_THRESHOLD = 9 / 8;
/** RFC 9002 section 6.1.2. */
export const GRANULARITY = MILLISECOND;
/** RFC 9002 section 6.2.2. */
export const INITIAL_RTT = 333 * MILLISECOND;
/** RFC 9002 section 7.2: ten datagrams. */
export const INITIAL_WINDOW_PACKETS = 10;
export const MINIMUM_WINDOW_PACKETS = 2;
/** RFC 9002 section 7.3.2. */
export const LOSS_REDUCTION = 0.5;
/** RFC 9002 section 7.7: pacing a little above the window keeps the window the limit. */
export const PACING_GAIN = 1.25;
/** Twice in slow start, so that pacing does not slow the doubling (as Linux tcp_pacing_ss_ratio). */
export const PACING_GAIN_SLOW_START = 2;

// --- RFC 9438 (CUBIC) ---

/** Section 5: C, datagrams per second cubed. */
export const CUBIC_SCALE = 0.4;
/** Section 4.6: what a loss leaves of the window. */
export const CUBIC_REDUCTION = 0.7;
/** Section 4.3: datagrams per window, with which the reduction above has New Reno's mean window. */
export const FRIENDLY_GROWTH = (3 * (1 - CUBIC_REDUCTION)) / (1 + CUBIC_REDUCTION);
/** Section 4.7: where the plateau goes when it was not reached. */
export const FAST_CONVERGENCE = (1 + CUBIC_REDUCTION) / 2;

// --- WireGuard's timers (white paper, section 6.1), which suit the same handshake ---

/** The local makes new keys after this long. */
export const REKEY_AFTER = 120 * SECOND;
/** Keys are refused after this long, used or not. */
export const REJECT_AFTER = 180 * SECOND;
/** Packets sealed under one key before new ones are made: far below AES-GCM's bounds. */
export const REKEY_AFTER_PACKETS = 2 ** 34;

// --- Our own ---

/** Paths a session may have. */
export const MAX_PATHS = 32;
/** Longest a receiver keeps an acknowledgement back. */
export const MAX_ACK_DELAY = 10 * MILLISECOND;
/** Ranges one acknowledgement may carry: what fits with room to spare in the smallest datagram. */
export const MAX_ACK_RANGES = 64;
/** Explicit NACKs one acknowledgement may carry. */
export const MAX_NACKS = 16;
/** Packet numbers a receiver remembers per path: several round trips of a fast path. */
export const REPLAY_WINDOW = 8192;
/** A hole in a path's packet numbers is given up (NACKed) by the receiver after this long, once later packets came. */
export const NACK_AFTER = 100 * MILLISECOND;
/**
 * How often a lost packet is sent again while it is useful. A queue that overflows while flows start takes some three times
 * in a row: with 2, a datagram of every 1,200 was lost for good beside four TCP flows on 10 Mbit/s, with 3, none of 16,000.
 */
export const MAX_RESENDS = 3;
/** So often it may leave again by the path that lost it. */
export const RESENDS_BY_ANY = 1;
/** The pacer lets this much time's worth of bytes leave at once, so that a timer of 1 ms suffices and GSO has something to cut. */
export const PACING_QUANTUM = MILLISECOND;
/** At least this many datagrams may leave at once. */
export const PACING_QUANTUM_PACKETS = 2;
/** Most bytes of datagrams in one send (UDP_SEGMENT takes less than 64 KB). */
export const TRAIN_BYTES = 65_000;
/** Most datagrams in one send: UDP_MAX_SEGMENTS of older kernels. */
export const TRAIN_PACKETS = 64;

/** Slots of a session's ring: 300 Mbit/s at 320 ms are 8,000 packets in flight. */
export const RING_SLOTS = 16_384;
/** Time's worth of packets that may wait in the ring for a sender. */
export const RING_BACKLOG = 2 * MILLISECOND;
/** At least this many packets. */
export const RING_BACKLOG_PACKETS = 4;
/** Longest standing queue that a bulk flow may have for itself. */
export const MAX_TARGET = 300 * MILLISECOND;
/** Longest that it may have so that a slower path can be of use to it. */
export const MAX_JOINING = 220 * MILLISECOND;
/** Packets a session may queue in front of its ring. */
export const MAX_QUEUED = 8192;

/** Memory that was not used for so long goes back to the store. */
export const TRIM_EVERY = 2 * SECOND;
/** What the store has and nobody needed for so long goes back to the system. */
export const STORE_TRIM_EVERY = SECOND;

/** Data sequences the resequencer remembers. */
export const SEQUENCE_WINDOW = 32_768;
/** Packets the resequencer may hold; beyond it, the oldest is delivered as it is. */
export const MAX_HELD = 16_384;
/** Longest wait for a missing predecessor, by class. */
export const MAX_HOLD_STREAM = 1500 * MILLISECOND;
export const MAX_HOLD_OTHER = 5 * MILLISECOND;

/**
 * A path that carries nothing is probed this often by either end, which also keeps NAT mappings alive: 236 bytes of IPv4
 * packets (two probes of 54, two acknowledgements of 64), 4.1 MB a day of both directions together.
 */
export const PROBE_IDLE = 5 * SECOND;
/** A backup path, likewise: 1.0 MB a day. NATs keep a mapping for 30 s at the very least (RFC 4787 asks for two minutes). */
export const PROBE_BACKUP = 20 * SECOND;
/** A suspect path is probed with back-off up to this interval at first, then, being down, up to the longer one. */
export const PROBE_SUSPECT = 400 * MILLISECOND;
export const PROBE_DOWN = SECOND;
/** One that has been down for so long is probed more rarely: probes of 54 bytes, 1.2 MB a day from either end. */
export const LONG_DOWN_AFTER = 600 * SECOND;
export const PROBE_LONG_DOWN = 4 * SECOND;
/** A suspect path is called down after this long. */
export const DOWN_AFTER = 10 * SECOND;
/** Answers in a row that bring a suspect path back. */
export const ANSWERS_TO_RETURN = 2;
/** A path that fails again soon after its return must answer for this long, doubling up to the longest. */
export const REST_FIRST = SECOND;
export const REST_LONGEST = 30 * SECOND;
/** A path that has been up for this long has no past. */
export const FLAPS_FORGOTTEN = 60 * SECOND;
/** A path that answers within this time (and two of its round trips) of being given up had not failed. */
export const FALSE_ALARM = 150 * MILLISECOND;
/** How often the peer is told that a path was given up: each may be lost. */
export const REPORTS = 3;
/** Shortest silence that makes a path suspect. */
export const MIN_SUSPECT = 100 * MILLISECOND;
/** So much longer a path may be silent while the peer answers on no other: no processor for the peer, not a dead path. */
export const PATIENCE = 120 * MILLISECOND;
/** A turn that comes later than due by this much means that we had no processor: such time is no silence of a path, ... */
export const LATE_TURN = 10 * MILLISECOND;
/** ... but of one silence, no more than this: a portal that is always late must still notice a dead path. */
export const MAX_EXCUSE = 200 * MILLISECOND;
/** Challenges to an address are this far apart. */
export const CHALLENGE_INTERVAL = 250 * MILLISECOND;

/**
 * An unanswered handshake is begun again after this long, so that a remote that is back is found within a second: 190 bytes
 * on each path, 1.4 MB an hour. After LONG_UNANSWERED it is not worth that any more by paths with a data cap.
 */
export const HANDSHAKE_RETRY = 500 * MILLISECOND;
export const LONG_UNANSWERED = 3600 * SECOND;
export const HANDSHAKE_RETRY_LONG = 4 * SECOND;
/** Unanswered handshakes whose answer may still come: a crowded path's round trip may take some seconds. */
export const MAX_ATTEMPTS = 12;
/** The local shakes hands anew when no path has been up for this long: the remote may have been started again. */
export const REHANDSHAKE_AFTER = 150 * MILLISECOND;
/** After a handshake, its session gets this long, and three of its round trips, to come up before the next. */
export const SETTLE_AFTER = SECOND;
/** A session without a path that is up is kept for this long unless told otherwise. */
export const KEEP = 300 * SECOND;
/**
 * Handshakes a remote keeps per peer that were answered but not yet proved. Old initiations may be sent again at the rate
 * of proto/ratelimit.ts, 100 per second: they must not push aside a real one before it can be proved.
 */
export const MAX_PENDING_PER_PEER = 128;
/** An answered handshake must be proved within this time. */
export const PENDING_LIFETIME = 10 * SECOND;
/** A peer whose sessions replace each other this often within this time is told of, and then not for a while. */
export const REPLACED_OFTEN = 5;
export const REPLACED_WITHIN = 60 * SECOND;
export const REPLACED_QUIET = 600 * SECOND;

// --- Several remotes of a local (proto/choice.ts) ---

/** The remote in use has been silent for so long: the others are asked. Doubling up to the longest, while it has not been up. */
export const REMOTE_PATIENCE = 5 * SECOND;
export const REMOTE_PATIENCE_LONGEST = 60 * SECOND;
/** Another one has answered: the one in use has so long to answer too, as the line may have been dead and not the remote. */
export const REMOTE_GRACE = 2 * SECOND;
/** Remotes that are silent are asked again with back-off, from the first to one of these: while nobody answers, or otherwise. */
export const ASK_FIRST = SECOND;
export const ASK_LONGEST_URGENT = 16 * SECOND;
export const ASK_LONGEST = 60 * SECOND;
/** One that answers is asked so often, and oftener where it may soon be returned to: so many times until then. */
export const ASK_STEADY = 10 * SECOND;
export const ASKS_TO_RETURN = 5;
/** A remote that has failed again this soon after it was returned to must answer for twice as long before the next time. */
export const REMOTE_FLAPS = 600 * SECOND;
export const REMOTE_REST_LONGEST = 3600 * SECOND;

/** A socket that took no more is tried again after this long. */
export const BLOCKED_FOR = MILLISECOND;
