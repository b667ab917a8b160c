import type { Catalog } from "./catalog";
import { type Attempts, HOURS, callsAMinute, ceil, floor, isAbove, streamsNeeded } from "./formulas";
import type { Feasibility, ModelCheck } from "./report";
import type { Mix, Scenario } from "./scenario";
import { count } from "./words";

const MINUTES = 60 * HOURS; // in a month

/** F8: what the relay's limits and the models allow. */
export function feasibility(scenario: Scenario, mix: Mix, catalog: Catalog, made: Attempts): Feasibility {
  const { calls, concurrent_streams: parallel, requests_per_minute: rate } = scenario;
  const models = Object.entries(mix).map(([model, share]) => check(scenario, model, share, catalog, made));
  const took = mean(models, (one) => one.seconds);
  const streams = streamsNeeded(calls, made.tries, took);
  const asked = (calls * made.tries) / MINUTES;
  const problems = [...limitProblems(scenario, streams, asked), ...models.flatMap((one) => one.problems)];
  return {
    feasible: problems.length ? false : Number.isNaN(took) ? null : true,
    problems,
    models,
    streams,
    asked_a_minute: asked,
    calls_a_minute: took ? callsAMinute(rate, parallel, took) : took,
    possible_calls: possible(scenario, models, catalog, made),
  };
}

function limitProblems(scenario: Scenario, streams: number, asked: number): string[] {
  const found = [];
  if (streams > scenario.concurrent_streams) {
    found.push(`${count(streams)} streams needed, ${count(scenario.concurrent_streams)} allowed`);
  }
  if (isAbove(asked, scenario.requests_per_minute)) {
    found.push(`${count(ceil(asked))} calls a minute needed, ${count(scenario.requests_per_minute)} allowed`);
  }
  return found;
}

function check(scenario: Scenario, model: string, share: number, catalog: Catalog, made: Attempts): ModelCheck {
  const took = seconds(catalog, model, scenario.output_tokens);
  const known = !Number.isNaN(took);
  return {
    model,
    share,
    seconds: took,
    streams: streamsNeeded(scenario.calls * share, made.tries, took),
    calls_a_minute: known ? callsAMinute(scenario.requests_per_minute, scenario.concurrent_streams, took) : NaN,
    allowed_output: allowed(scenario, model, catalog),
    problems: answerProblems(scenario, model, catalog.largestOutput(model), took),
  };
}

function answerProblems(scenario: Scenario, model: string, largest: number, took: number): string[] {
  const found = [];
  if (scenario.output_tokens > largest) {
    found.push(`${model} answers with ${count(largest)} tokens at most, ${count(scenario.output_tokens)} asked`);
  }
  if (isAbove(took, scenario.timeout)) {
    found.push(`${model} takes ${count(took)} s for an answer, the limit is ${count(scenario.timeout)} s`);
  }
  return found;
}

function seconds(catalog: Catalog, model: string, output: number): number {
  const speed = catalog.speeds.get(model);
  return speed ? speed.ttft + output / speed.tokensPerSecond : NaN;
}

function allowed(scenario: Scenario, model: string, catalog: Catalog): number {
  const largest = catalog.largestOutput(model);
  const most = scenario.output_tokens > largest ? largest : scenario.output_tokens;
  const speed = catalog.speeds.get(model);
  if (!speed) return most;
  return Math.min(most, Math.max(0, floor((scenario.timeout - speed.ttft) * speed.tokensPerSecond)));
}

function possible(scenario: Scenario, models: readonly ModelCheck[], catalog: Catalog, made: Attempts): number {
  const { concurrent_streams: parallel, requests_per_minute: rate } = scenario;
  const took = mean(models, (one) => seconds(catalog, one.model, one.allowed_output));
  const aMinute = Number.isNaN(took) ? rate : callsAMinute(rate, parallel, took);
  return Math.min(scenario.calls, floor((aMinute * MINUTES) / made.tries));
}

function mean(models: readonly ModelCheck[], took: (one: ModelCheck) => number): number {
  return models.reduce((sum, one) => sum + one.share * took(one), 0);
}
