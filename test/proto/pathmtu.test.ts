/** The search for a path's MTU, against a model of a path: datagrams above its MTU vanish, others do so by chance. */
import { beforeEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { seededRandom } from "../../src/lab/random.ts";
import { MILLISECOND, SECOND } from "../../src/proto/limits.ts";
import { LOST_TO_DOUBT, MAX_PROBES, PathMtu, RAISE_AFTER, STEP } from "../../src/proto/pathmtu.ts";

const MOST = 1452;
const HEADERS = 28;
const BASE = 1280 - HEADERS;
const RTT = 20 * MILLISECOND;

/** A path that the search is asked of: a probe is answered, or found lost, a round trip later. */
class Model {
  readonly search: PathMtu;
  now = 0;
  probes: number[] = [];
  /** Largest IP packet that crosses whole. */
  mtu: number;
  loss = 0;
  /** What ICMP says is the MTU; 0 = nothing. */
  icmp = 0;
  idle = false;
  private sent = 0;
  private readonly random = seededRandom(1);

  constructor(mtu: number, most = MOST, headers = HEADERS) {
    this.mtu = mtu;
    this.search = new PathMtu(most, headers);
  }

  /** Lets one probe that is due leave, and decides on it. False: none is due by then. */
  step(until: number): boolean {
    const { search } = this;
    if (search.at > until) return false;
    this.now = Math.max(this.now, search.at);
    if (!this.idle) this.sent += 1 << 20;
    if (!search.isDue(this.now, this.sent)) return true;
    if (search.wantsHint) search.onHint(this.icmp);
    const size = search.candidate;
    this.probes.push(size);
    search.onProbeSent();
    this.now += RTT;
    if (size + search.headers <= this.mtu && this.random() >= this.loss) search.onProbeAcked(this.now, size);
    else search.onProbeLost(this.now, size, false);
    return true;
  }

  /** Until the search is over; what it cost, in probes. */
  settle(): number {
    const before = this.probes.length;
    const end = this.now + 10 * SECOND;
    while (this.step(Math.min(this.now, end))) expect(this.now).toBeLessThan(end);
    return this.probes.length - before;
  }

  /** Runs for so long, raise timers and all. */
  runFor(micros: number): void {
    const end = this.now + micros;
    while (this.step(end));
    this.now = end;
  }

  begin(): this {
    this.search.begin(this.now);
    return this;
  }

  /** `count` datagrams of a size are found lost. */
  lose(bytes: number, count: number, from = 100): void {
    for (let i = 0; i < count; i++) this.search.onLost(this.now, from + i, bytes);
  }
}

/** Found to within STEP, and never more than the path carries. */
function expectFound(model: Model): void {
  const { search, mtu } = model;
  const truth = Math.min(mtu - search.headers, search.most);
  expect(search.state).toBe("complete");
  expect(search.limit).toBeLessThanOrEqual(truth);
  expect(search.limit).toBeGreaterThan(truth - STEP);
  expect(search.found).toBe(search.limit);
}

let model: Model;

beforeEach(() => {
  model = new Model(1500).begin();
});

describe("the search", () => {
  test("one probe, where the path carries the most", () => {
    expect(model.search.limit).toBe(BASE);
    expect(model.search.packet).toBeNull();
    expect(model.settle()).toBe(1);
    expectFound(model);
    expect(model.search.packet).toBe(MOST + HEADERS);
    expect(model.search.at).toBe(Number.POSITIVE_INFINITY);
  });

  test("none, where the base is the most", () => {
    model = new Model(1500, 1000).begin();
    expect(model.settle()).toBe(0);
    expect(model.search.limit).toBe(1000);
    expectFound(model);
  });

  test.each([1280, 1281, 1358, 1400, 1428, 1454, 1476, 1479, 1480])("an MTU of %i is found", (mtu) => {
    model = new Model(mtu).begin();
    expect(model.settle()).toBeLessThanOrEqual(MAX_PROBES * 8);
    expectFound(model);
  });

  test("any MTU, any most, any losses, with few probes: it is never above the truth", () => {
    const arbitrary = fc.record({
      mtu: fc.integer({ min: 1280, max: 9100 }),
      most: fc.integer({ min: 1300, max: 9032 }),
      headers: fc.constantFrom(28, 48),
      loss: fc.constantFrom(0, 0.05, 0.3),
    });
    fc.assert(
      fc.property(arbitrary, ({ mtu, most, headers, loss }) => {
        model = new Model(mtu, most, headers).begin();
        model.loss = loss;
        expect(model.settle()).toBeLessThanOrEqual(MAX_PROBES * 15);
        const { limit, refused, state } = model.search;
        if (state === "complete") {
          expect(limit).toBeLessThanOrEqual(mtu - headers);
          if (loss === 0) expectFound(model);
        } else expect(state).toBe("error");
        expect(limit).toBeLessThan(refused);
      }),
    );
  });

  test("a common MTU of networks is tried before others, where an interface allows more", () => {
    model = new Model(1500, 8000).begin();
    model.settle();
    expect(model.probes.slice(0, 5)).toEqual([8000, 8000, 8000, 1472, 1472 + (8000 - 1472) / 2]);
    expectFound(model);
  });

  test("a probe that is lost by chance is sent again, twice", () => {
    model.loss = 1;
    model.step(0);
    model.step(model.now);
    model.loss = 0;
    model.settle();
    expect(model.probes).toEqual([MOST, MOST, MOST]);
    expectFound(model);
  });

  test("one that was taken for lost and arrives after all counts", () => {
    model.mtu = 1400;
    model.settle();
    model.search.onProbeAcked(model.now, MOST);
    model.mtu = 1500;
    model.settle();
    expectFound(model);
  });

  test("silence says nothing of sizes: after it, the search goes on", () => {
    const { search } = model;
    search.onProbeSent();
    search.onProbeLost(RTT, MOST, true);
    expect(search.at).toBe(Number.POSITIVE_INFINITY);
    search.stop();
    model.begin();
    expect(model.settle()).toBe(1);
    expectFound(model);
  });

  test("in error it is asked again though little is sent on it", () => {
    model = new Model(1000).begin();
    model.settle();
    model.idle = true;
    model.mtu = 1500;
    model.runFor(30 * SECOND);
    expectFound(model);
  });

  test("where the base is all that is sent, a path in error is asked again when it is back, and forgotten when it leads elsewhere", () => {
    const small = 1220;
    const make = () => {
      model = new Model(1000, small).begin();
      model.lose(small, LOST_TO_DOUBT);
      model.settle();
      expect(model.search.state).toBe("error");
      model.search.stop();
      model.mtu = 1500;
      return model.search;
    };
    make();
    model.begin();
    model.settle();
    expectFound(model);
    const renewed = make();
    renewed.renew(model.now);
    expect([renewed.state, renewed.limit, renewed.packet]).toEqual(["complete", small, small + HEADERS]);
  });

  test("an answer that comes when the path is no longer up begins nothing", () => {
    const { search } = model;
    for (let i = 0; i < MAX_PROBES; i++) {
      search.onProbeSent();
      search.onProbeLost(RTT, MOST, false);
    }
    search.onProbeSent();
    search.stop();
    search.onProbeAcked(2 * RTT, search.candidate);
    expect(search.at).toBe(Number.POSITIVE_INFINITY);
  });

  test("a path whose base is not carried is in error: what is larger than 576 is fragmented, and it is asked again", () => {
    model = new Model(1000).begin();
    model.settle();
    const { search } = model;
    expect(search.state).toBe("error");
    expect(search.limit).toBe(576 - HEADERS);
    expect(search.packet).toBe(576);
    expect(search.fragmentsOf(548)).toBe(0);
    expect(search.fragmentsOf(549)).toBeGreaterThan(0);
    // Nobody's packets are made smaller for its sake.
    expect(search.found).toBe(MOST);
    model.mtu = 1500;
    model.runFor(60 * SECOND);
    expectFound(model);
  });
});

describe("what leaves whole", () => {
  test("what is known to be carried; between, and above, it may be fragmented", () => {
    model.mtu = 1400;
    model.settle();
    const { search } = model;
    expect(search.fragmentsOf(search.limit)).toBe(0);
    expect(search.fragmentsOf(search.limit + 1)).toBe(65_535);
    expect(search.fragmentsOf(search.refused)).toBe(search.limit + HEADERS);
  });

  test("before the first answer nothing is refused", () => {
    expect(model.search.fragmentsOf(BASE)).toBe(0);
    expect(model.search.fragmentsOf(MOST)).toBe(65_535);
  });
});

describe("the raise timer", () => {
  beforeEach(() => {
    model = new Model(1400).begin();
    model.settle();
  });

  test("finds a path that carries more by now", () => {
    model.mtu = 1500;
    model.runFor(30 * SECOND);
    expectFound(model);
  });

  test("finds one that carries little more", () => {
    model.mtu = 1440;
    model.runFor(30 * SECOND);
    expectFound(model);
  });

  test("doubles up to 600 s, each time with six probes, and lowers nothing meanwhile", () => {
    const before = model.search.found;
    model.probes = [];
    const times: number[] = [];
    for (let i = 0; i < 10; i++) {
      times.push(model.search.at - model.now);
      model.step(model.search.at);
      model.settle();
      expect(model.search.found).toBe(before);
    }
    expect(model.probes.length).toBe(10 * 2 * MAX_PROBES);
    expect(times[0]).toBe(20 * SECOND);
    expect(times[1]).toBe(40 * SECOND);
    expect(times.at(-1)).toBe(RAISE_AFTER);
    expectFound(model);
  });

  test("does nothing for an idle path", () => {
    model.idle = true;
    model.probes = [];
    model.runFor(10 * RAISE_AFTER);
    expect(model.probes).toEqual([]);
    model.idle = false;
    model.mtu = 1500;
    model.runFor(2 * RAISE_AFTER);
    expectFound(model);
  });
});

describe("what ICMP says", () => {
  test("is tried next, and is gone by once a probe has shown it", () => {
    model = new Model(1428).begin();
    model.icmp = 1428;
    model.step(0);
    model.step(model.now);
    expect(model.probes).toEqual([MOST, 1400]);
    expect(model.search.limit).toBe(1400);
    expect(model.search.found).toBe(1400);
    model.settle();
    expectFound(model);
  });

  test.each([68, 576, 1279, 1501, 65_535])("is not believed when it says %i", (icmp) => {
    model = new Model(1428).begin();
    model.icmp = icmp;
    model.settle();
    expect(model.probes.every((size) => size >= BASE && size <= MOST)).toBe(true);
    expectFound(model);
  });

  test("is corrected when it says too little", () => {
    model = new Model(1428).begin();
    model.icmp = 1300;
    model.settle();
    expectFound(model);
  });

  test("is not believed below the base where not even that is carried", () => {
    model = new Model(1000).begin();
    model.icmp = 700;
    model.runFor(60 * SECOND);
    expect(model.search.state).toBe("error");
    expect(Math.min(...model.probes)).toBe(BASE);
  });

  test("is not asked for, nor heeded, while nothing is lost", () => {
    model.icmp = 1300;
    model.settle();
    expect(model.probes).toEqual([MOST]);
  });
});

describe("a black hole", () => {
  beforeEach(() => {
    model.settle();
  });

  test("is noticed by a few lost datagrams: back to the base at once, then what is carried is found", () => {
    model.mtu = 1400;
    model.lose(MOST, LOST_TO_DOUBT - 1);
    expect(model.search.limit).toBe(MOST);
    model.lose(MOST, 1, 200);
    expect(model.search.limit).toBe(BASE);
    // Senders inside are told once it is known of what.
    expect(model.search.found).toBe(MOST);
    model.settle();
    expectFound(model);
  });

  test("is none where losses are chance: one probe restores what was", () => {
    model.lose(MOST, LOST_TO_DOUBT);
    expect(model.settle()).toBe(1);
    expectFound(model);
    expect(model.search.refused).toBe(Number.POSITIVE_INFINITY);
  });

  test("is none while as large ones arrive, sent before or after", () => {
    for (let i = 0; i < 100; i++) {
      model.lose(MOST, 2, 10 * i);
      model.search.onAcked(10 * i + 5, MOST);
      model.lose(MOST, 1, 10 * i + 3);
    }
    expect(model.search.limit).toBe(MOST);
  });

  test("is one also while smaller ones arrive", () => {
    for (let i = 0; i < LOST_TO_DOUBT; i++) {
      model.search.onAcked(10 * i, 1380);
      model.lose(MOST, 1, 10 * i + 1);
    }
    expect(model.search.limit).toBe(BASE);
  });

  test("small datagrams and those that may be fragmented say nothing", () => {
    model.lose(500, 100);
    model.lose(MOST + 1, 100);
    expect(model.search.state).toBe("complete");
  });

  test("below the base: in error, and whole again once the path is", () => {
    model.mtu = 900;
    model.lose(1000, LOST_TO_DOUBT);
    model.settle();
    expect(model.search.state).toBe("error");
    model.mtu = 1500;
    model.runFor(60 * SECOND);
    expectFound(model);
  });

  test("black holes that come and go are followed", () => {
    const steps = fc.array(fc.integer({ min: 1280, max: 1500 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(steps, (mtus) => {
        model = new Model(1500).begin();
        model.settle();
        for (const [i, mtu] of mtus.entries()) {
          model.mtu = mtu;
          if (model.search.limit > mtu - HEADERS) model.lose(model.search.limit, LOST_TO_DOUBT, 1000 * i);
          model.runFor(2 * RAISE_AFTER);
          expectFound(model);
        }
      }),
    );
  });

  test("an interface that takes less is believed at once", () => {
    const { search } = model;
    model.mtu = 1300;
    search.onTooBig(model.now, MOST);
    expect(search.limit).toBe(BASE);
    search.onProbeSent();
    search.onTooBig(model.now, search.candidate);
    search.onHint(1300);
    expect(search.candidate).toBe(1300 - HEADERS);
    model.settle();
    expectFound(model);
  });
});

describe("a path that comes back", () => {
  test("is asked for what it carried before, with one probe", () => {
    model = new Model(1400).begin();
    model.settle();
    const { limit } = model.search;
    model.search.stop();
    model.begin();
    expect(model.search.limit).toBe(limit);
    expect(model.search.found).toBe(limit);
    expect(model.settle()).toBe(1);
    expectFound(model);
  });

  test("is no longer believed to carry that once a probe of it was lost", () => {
    model.settle();
    model.search.stop();
    model.mtu = 1300;
    model.begin();
    expect(model.search.limit).toBe(MOST);
    model.step(model.now);
    expect(model.search.limit).toBe(BASE);
    model.settle();
    expectFound(model);
  });

  test("that leads another way is asked for all", () => {
    model = new Model(1400).begin();
    model.settle();
    model.mtu = 1500;
    model.search.renew(model.now);
    expect(model.settle()).toBe(1);
    expectFound(model);
  });
});
