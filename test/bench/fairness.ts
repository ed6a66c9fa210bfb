/**
 * What a plain TCP flow keeps of a line that it shares with portal's bulk: both begin at once, the plain one between the two
 * machines of the portals, past them, on the path's own addresses. Beside it two plain flows, for comparison: a fair half
 * is what they might have, not what they do have.
 */
import type { Direction } from "../../src/lab/command.ts";
import { pathAddress } from "../../src/lab/namespaces.ts";
import { goodputShare } from "../../src/lab/portals.ts";
import { type Lab, withLab } from "../../src/lab/topology.ts";
import { type Column, renderTable } from "../../src/ui/table.ts";
import { mustHave } from "./congestion.ts";
import { type IperfEnds, iperf } from "./iperf.ts";
import { withLateness } from "./late.ts";
import type { Congestion, Options } from "./options.ts";
import type { BenchResult, Say } from "./result.ts";
import { type Summary, showSummary, summarizeEach } from "./sample.ts";
import { inTurn } from "./turn.ts";

const MBIT = 20;
const WARM_UP_SECONDS = 5;

const PAST_PORTALS: IperfEnds = {
  client: "local",
  server: "remote",
  serverAddress: pathAddress(0, "remote", 4),
};

/** The flow beside the plain one: through portal, or plain as well. */
interface Kind {
  readonly direction: Direction;
  readonly queueMs: number;
  readonly plain: Congestion;
  readonly other: { readonly through: "portal" | "plain"; readonly inner: Congestion };
}

/** Mbit/s, and shares of the payload that half of the line carries. */
interface Outcome {
  readonly plainMbit: number;
  readonly plainShare: number;
  readonly otherMbit: number;
  readonly otherShare: number;
  readonly lateMs: number;
}

interface Judged extends Kind {
  readonly figures: Record<keyof Outcome, Summary>;
}

export async function fairness(options: Options, say: Say): Promise<BenchResult> {
  const kinds = kindsOf(options).map((kind) => ({ kind, outcomes: [] as Outcome[] }));
  await withLab({ paths: [{}] }, async (lab) => {
    await mustHave(lab, [...options.inner, ...options.beside]);
    for (let repeat = 1; repeat <= options.repeats; repeat++) {
      for (const { kind, outcomes } of kinds) {
        const outcome = await inTurn(() => runOnce(lab, kind, options));
        outcomes.push(outcome);
        const { plain, other, direction, queueMs } = kind;
        const what = `${plain} beside ${other.through} ${other.inner} ${direction}, queue ${queueMs} ms`;
        say(`${repeat} of ${options.repeats}, ${what}: share ${outcome.plainShare.toFixed(2)}`);
      }
    }
  });
  const judged = kinds.map(({ kind, outcomes }) => ({ ...kind, figures: summarizeEach(outcomes) }));
  return { figures: { fairness: judged }, text: table(judged).join("\n") };
}

function kindsOf({ directions, queuesMs, inner, beside }: Options): Kind[] {
  return directions.flatMap((direction) =>
    queuesMs.flatMap((queueMs) => [
      ...beside.flatMap((plain) =>
        inner.map((each) => ({
          direction,
          queueMs,
          plain,
          other: { through: "portal" as const, inner: each },
        })),
      ),
      {
        direction,
        queueMs,
        plain: "cubic" as const,
        other: { through: "plain" as const, inner: "cubic" as const },
      },
    ]),
  );
}

async function runOnce(lab: Lab, kind: Kind, { delayMs, seconds }: Options): Promise<Outcome> {
  const { direction, queueMs, plain, other } = kind;
  await lab.line(0).set({ mbit: MBIT, delayMs, queueMs });
  if (other.through === "portal") await lab.startPortals();
  else await lab.stopPortals();
  const flow = { direction, seconds, warmUp: WARM_UP_SECONDS };
  const pastPortals = { ...flow, congestion: plain, ends: PAST_PORTALS };
  const beside = { ...flow, congestion: other.inner };
  const { result, lateMs } = await withLateness(lab, () =>
    Promise.all([
      iperf(lab, pastPortals),
      iperf(lab, other.through === "portal" ? beside : { ...beside, ends: PAST_PORTALS }),
    ]),
  );
  const [plainMbit, otherMbit] = result;
  const half = MBIT / 2;
  return {
    plainMbit,
    plainShare: plainMbit / (half * goodputShare(null)),
    otherMbit,
    otherShare: otherMbit / (half * goodputShare(other.through === "portal" ? 4 : null)),
    lateMs,
  };
}

const COLUMNS: readonly (readonly [title: string, digits: number, name: keyof Outcome])[] = [
  ["plain Mbit/s", 1, "plainMbit"],
  ["of its half", 2, "plainShare"],
  ["other Mbit/s", 1, "otherMbit"],
  ["of its half", 2, "otherShare"],
  ["lines late ms", 1, "lateMs"],
];

function table(judged: readonly Judged[]): string[] {
  const rows = judged.map(({ direction, queueMs, plain, other, figures }) => [
    plain,
    `${other.through}, ${other.inner}`,
    direction,
    String(queueMs),
    ...COLUMNS.map(([, digits, name]) => showSummary(figures[name], digits)),
  ]);
  const columns: Column[] = [
    ...["plain flow", "beside", "way", "queue ms"].map((title) => ({ title, align: "left" as const })),
    ...COLUMNS.map(([title]) => ({ title, align: "right" as const })),
  ];
  return [
    `A plain TCP flow and another on one line of ${MBIT} Mbit/s; median (least-most). Of its half: goodput as a share of what half of`,
    "the line carries, headers taken off.",
    "",
    ...renderTable(columns, rows, ""),
  ];
}
