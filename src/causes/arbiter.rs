//! Which failure was the root of what followed, and which cause it has.
//!
//! A run falls into episodes: failures and symptoms up to the next sign of health of the same process. The last
//! episode, when nothing healthy follows, ended the run. Within an episode the root is what came first among the
//! failures that explain themselves; what often only follows from others comes after them, symptoms never.

use std::cmp::Reverse;

use crate::case::deployment::is_server;
use crate::case::trends::saturation;
use crate::case::{Case, Run, Situation};
use crate::causes::{CAUSES, Cause, Claim, by_id, exit_signal};
use crate::envelope::Level;
use crate::facts::{Ends, Fact, FactKind, Stage, Strength};
use crate::post_mortem::{Contributing, Impact};

/// Records within which an engine's sentence is about an allocator's refusal.
const NEAR: u64 = 120;

/// A verdict on one episode, or on several alike.
#[derive(Clone)]
pub struct Verdict {
    /// The cause.
    pub cause: &'static Cause,
    /// Probability that it is right.
    pub confidence: f64,
    /// Index of the run.
    pub run: usize,
    /// What the process was at.
    pub stage: Option<Stage>,
    /// Index of the decisive fact.
    pub decisive: usize,
    /// Facts that say the same cause, the decisive one first.
    pub proof: Vec<usize>,
    /// Facts that led to it.
    pub context: Vec<usize>,
    /// Facts that followed from it.
    pub symptoms: Vec<usize>,
    /// What it did.
    pub impact: Impact,
    /// True when a later run came up well.
    pub recovered: bool,
    /// How often it happened.
    pub occurrences: u64,
    /// True if it may have happened more often.
    pub is_lower_bound: bool,
    /// Causes that helped.
    pub contributing: Vec<Contributing>,
}

struct Episode {
    facts: Vec<usize>,
    /// The process went on afterwards.
    survived: bool,
    /// A request was served right after it.
    served_after: bool,
    /// The load that failed was begun anew before anybody was answered.
    retried: bool,
}

/// The verdicts on a case, the gravest first.
pub fn verdicts(case: &Case) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = Vec::new();
    let mut died: Vec<usize> = Vec::new();
    for (index, run) in case.runs.iter().enumerate() {
        let saturated = run.ready.and_then(|_| saturation(case, &run.facts));
        for episode in episodes(case, run) {
            if let Some(verdict) = judge(case, index, run, &episode) {
                if verdict.impact == Impact::ProcessDied {
                    died.push(index);
                }
                merge(case, &mut verdicts, verdict);
            }
        }
        if let Some((first, last, times)) = saturated
            && verdicts.iter().all(|v| v.run != index)
        {
            verdicts.extend(overload(case, index, first, last, times));
        }
    }
    for verdict in &mut verdicts {
        if verdict.impact == Impact::ProcessDied
            && let Some(deaths) = deaths_in_all(case, &case.facts[verdict.decisive])
        {
            verdict.occurrences = verdict.occurrences.max(deaths);
            verdict.is_lower_bound = true;
        }
        let container = &case.runs[verdict.run].container;
        let mut later = case.runs.iter().enumerate().skip(verdict.run + 1).filter(|(_, run)| run.container == *container);
        verdict.recovered = verdict.impact == Impact::ProcessDied && later.any(|(index, run)| !died.contains(&index) && came_up(case, run));
    }
    let said = |v: &Verdict| v.cause.id != "unknown";
    let known_died = verdicts.iter().any(|v| said(v) && v.impact == Impact::ProcessDied);
    // What a container without an engine does is its own business, while the server beside it works.
    verdicts.retain(|v| said(v) || !is_neighbour(case, v));
    let only_follows = |v: &Verdict| matches!(case.facts[v.decisive].kind, FactKind::Symptom | FactKind::ProcessExit);
    verdicts.retain(|v| said(v) || !known_died || v.impact == Impact::ProcessDied && !only_follows(v));
    verdicts.sort_by_key(|v| (v.impact, Reverse(v.run), Reverse(said(v)), v.decisive));
    listed(verdicts)
}

/// True for what befell a container that ran no engine, beside one that did and came up.
fn is_neighbour(case: &Case, verdict: &Verdict) -> bool {
    // Compose says below its own name that a container has exited.
    let is_known = |name: &&str| case.origins.iter().any(|origin| origin.container.as_deref() == Some(name));
    let named = case.facts[verdict.decisive].word("container").filter(is_known);
    let Some(container) = named.or(case.runs[verdict.run].container.as_deref()) else { return false };
    let is_of_an_engine = |fact: &Fact| fact.engine.is_some() && !fact.kind.is_failure() && case.container(fact) == Some(container);
    let serves = |run: &Run| run.ready.is_some() && is_server(case.own_engine(run.container.as_deref()));
    !case.facts.iter().any(is_of_an_engine) && case.runs.iter().any(serves)
}

/// Incidents that a report lists: a log of ten thousand pods that all broke is one story, not ten thousand.
const MAX_LISTED: usize = 100;

/// The gravest verdicts; of further services that broke in the same way only the number is kept.
fn listed(mut verdicts: Vec<Verdict>) -> Vec<Verdict> {
    for rest in verdicts.split_off(verdicts.len().min(MAX_LISTED)) {
        if let Some(same) = verdicts.iter_mut().find(|v| v.cause.id == rest.cause.id && v.impact == rest.impact) {
            same.occurrences += rest.occurrences;
        }
    }
    verdicts
}

/// How many processes a message ended, where not all of its copies were kept: each is taken to have printed it as often
/// as the first one did. The gate before large logs leaves copies out that nobody counts, so it may be more.
fn deaths_in_all(case: &Case, decisive: &Fact) -> Option<u64> {
    let is_like = |fact: &Fact| fact.rule == decisive.rule && case.container(fact) == case.container(decisive);
    let like = || case.facts.iter().filter(|fact| is_like(fact));
    let left_out: u64 = like().map(|fact| fact.left_out).sum();
    if left_out == 0 {
        return None;
    }
    let in_one_run = case.runs.iter().map(|run| run.facts.iter().filter(|&&i| is_like(&case.facts[i])).count()).find(|&count| count > 0)?;
    Some((like().count() as u64 + left_out) / in_one_run as u64)
}

/// True for a run that got to what it was started for: it served, trained or generated.
fn came_up(case: &Case, run: &Run) -> bool {
    let works = |fact: &Fact| {
        let worked = fact.kind == FactKind::Mark && fact.event.as_deref() != Some("weights-loaded");
        fact.kind == FactKind::Completed || worked && matches!(fact.stage, Some(Stage::Serve | Stage::Prefill | Stage::Decode | Stage::Train))
    };
    run.ready.is_some() || run.facts.iter().any(|&i| works(&case.facts[i]))
}

/// The verdict on a server that nothing broke but the load.
fn overload(case: &Case, run: usize, first: usize, last: usize, times: u64) -> Option<Verdict> {
    let of_refusals = |&i: &usize| case.facts[i].kind == FactKind::Preempted || &*case.facts[i].rule == "web-5xx";
    let mut proof: Vec<usize> = case.runs[run].facts.iter().copied().filter(of_refusals).collect();
    proof.truncate(4);
    proof.extend([first, last]);
    Some(Verdict {
        cause: by_id("overload")?,
        confidence: 0.75,
        run,
        stage: Some(Stage::Serve),
        decisive: *proof.first()?,
        proof,
        context: Vec::new(),
        symptoms: Vec::new(),
        impact: Impact::RequestsFailed,
        recovered: false,
        occurrences: times,
        is_lower_bound: false,
        contributing: Vec::new(),
    })
}

/// Crash loops and repeated request failures of one service are one incident, with the figures of the last.
fn merge(case: &Case, verdicts: &mut Vec<Verdict>, new: Verdict) {
    let service = |verdict: &Verdict| case.runs[verdict.run].container.as_deref().map(service_of);
    let same = verdicts.iter_mut().find(|old| old.cause.id == new.cause.id && old.impact == new.impact && service(old) == service(&new));
    match same {
        Some(old) => {
            let occurrences = old.occurrences + new.occurrences;
            let mut other = new;
            if other.confidence + 0.05 >= old.confidence {
                std::mem::swap(old, &mut other);
            }
            old.occurrences = occurrences;
            let helped = |cause: &'static str| old.contributing.iter().all(|known| known.cause != cause);
            let more: Vec<_> = other.contributing.into_iter().filter(|c| helped(c.cause)).collect();
            old.contributing.extend(more);
        }
        None => verdicts.push(new),
    }
}

/// The service that a verdict is about.
pub fn service(case: &Case, verdict: &Verdict) -> Option<String> {
    case.runs[verdict.run].container.as_deref().map(|container| service_of(container).to_owned())
}

/// The service of a container: its name up to the number or hash that tells replicas apart.
fn service_of(container: &str) -> &str {
    let is_generated = |part: &str| part.bytes().any(|b| b.is_ascii_digit());
    let end = container.match_indices('-').find(|(at, _)| container[at + 1..].split('-').next().is_some_and(is_generated)).map(|(at, _)| at);
    end.map_or(container, |end| &container[..end])
}

fn is_trouble(fact: &Fact) -> bool {
    fact.kind.is_failure() || matches!(fact.kind, FactKind::Symptom | FactKind::ProcessExit | FactKind::Hint | FactKind::StopSignal)
}

/// True for signs that the process went on.
fn is_health(fact: &Fact) -> bool {
    match fact.kind {
        FactKind::RequestServed | FactKind::Retry | FactKind::Completed => true,
        FactKind::Mark => !matches!(fact.event.as_deref(), None | Some("download-started" | "load-started")),
        _ => false,
    }
}

/// True for facts that say that a process is gone.
fn ends_process(fact: &Fact) -> bool {
    fact.ends == Some(Ends::Process) || fact.kind == FactKind::Crash || fact.kind == FactKind::ProcessExit && !is_clean_exit(fact)
}

fn episodes(case: &Case, run: &Run) -> Vec<Episode> {
    let mut episodes = Vec::new();
    let mut current: Vec<usize> = Vec::new();
    for &index in &run.facts {
        let fact = &case.facts[index];
        if is_trouble(fact) {
            current.push(index);
            continue;
        }
        if current.is_empty() || !is_health(fact) {
            continue;
        }
        // The software says itself that it goes on; of another rank it knows nothing.
        let is_retry = fact.kind == FactKind::Retry;
        let (mut closing, others): (Vec<usize>, Vec<usize>) =
            std::mem::take(&mut current).into_iter().partition(|&i| !is_retry || !case.are_of_two_ranks(fact, &case.facts[i]));
        let fatal = closing.iter().any(|&i| ends_process(&case.facts[i]));
        let fails = closing.iter().any(|&i| case.facts[i].kind.is_failure());
        let same_process = closing.iter().all(|&i| case.facts[i].place.origin == fact.place.origin || !case.facts[i].kind.is_failure());
        let closes = match fact.kind {
            FactKind::RequestServed | FactKind::Completed => !fatal,
            FactKind::Retry => true,
            _ => !fatal && same_process,
        };
        if closes && fails {
            let served_after = fact.kind == FactKind::RequestServed;
            let retried = is_retry && fact.word("then") == Some("again");
            episodes.push(Episode { facts: std::mem::take(&mut closing), survived: true, served_after, retried });
        } else if closes {
            // Hints and symptoms alone are forgotten when the process goes on; hints still count as context.
            closing.retain(|&i| case.facts[i].kind == FactKind::Hint);
        }
        current = closing;
        current.extend(others);
        current.sort_unstable();
    }
    if !current.is_empty() {
        episodes.push(Episode { facts: current, survived: false, served_after: false, retried: false });
    }
    episodes
}

/// True for a SIGKILL without a word on who sent it.
fn is_kill(fact: &Fact) -> bool {
    fact.kind == FactKind::HostMemory && fact.word("how") == Some("sigkill")
}

/// The place of a fact in the contest for the root: lower comes first.
fn standing(fact: &Fact) -> u8 {
    match (fact.strength, fact.kind.may_follow()) {
        // One that nobody explains explains itself; after a failure it is what launchers do to the rest.
        _ if is_kill(fact) => 6,
        (Strength::Exact, false) => 0,
        (Strength::Exact, true) if !matches!(fact.kind, FactKind::Failure | FactKind::StopSignal) => 1,
        (Strength::Weak, false) => 2,
        (Strength::Weak, true) => 3,
        (Strength::Exact, true) => 4,
        (Strength::Form, _) if fact.kind == FactKind::Internal && fact.is_exception => 5,
        (Strength::Demoted, _) => 7,
        (Strength::Form, _) => 8,
    }
}

/// True for what one client did wrong: no incident where others were served.
fn is_of_a_client(fact: &Fact) -> bool {
    let of_one_request = fact.ends == Some(Ends::Request) || fact.word("scope") == Some("request");
    matches!(fact.kind, FactKind::ContextLimit | FactKind::Argument) && of_one_request
        || matches!(fact.kind, FactKind::Internal | FactKind::Failure) && of_one_request && fact.strength < Strength::Exact
        || fact.kind == FactKind::Overload && fact.repeats < 3
}

/// What an episode was to its process.
struct Course {
    /// The server was up before it.
    was_up: bool,
    /// Something says that the process is gone.
    fatal: bool,
    /// The process ended by it.
    died: bool,
    /// An order to stop came before all of it.
    stops_first: bool,
}

impl Course {
    fn of(case: &Case, run: &Run, episode: &Episode) -> Course {
        let facts = &case.facts;
        let was_up = episode.served_after || run.ready.is_some_and(|ready| episode.facts.first().is_some_and(|&first| ready < first));
        let fatal = episode.facts.iter().any(|&i| ends_process(&facts[i]));
        // A script has no clients: an exception that nobody caught ends it, also after it has answered.
        let is_script = !is_server(case.engine_of(run.container.as_deref()));
        let last_failure = episode.facts.iter().rfind(|&&i| facts[i].kind.is_failure());
        let uncaught = is_script && last_failure.is_some_and(|&i| facts[i].is_exception && facts[i].place.level.is_none());
        let ended = run.ended.is_some_and(|end| facts[end].is_uncaught && episode.facts.contains(&end));
        let is_cancelled = |fact: &Fact| fact.kind == FactKind::Symptom && fact.strength == Strength::Form;
        let is_trouble = |&i: &usize| !matches!(facts[i].kind, FactKind::Hint | FactKind::StopSignal) && !is_cancelled(&facts[i]);
        let first_trouble = episode.facts.iter().copied().find(is_trouble);
        Course {
            was_up,
            fatal,
            died: !episode.survived && (fatal || !was_up || uncaught || ended),
            stops_first: told_to_stop(case, run).is_some_and(|stop| first_trouble.is_none_or(|trouble| stop <= trouble)),
        }
    }
}

/// The first order to stop of a run.
fn told_to_stop(case: &Case, run: &Run) -> Option<usize> {
    run.facts.iter().copied().find(|&i| matches!(case.facts[i].kind, FactKind::StopSignal | FactKind::OrderlyStop))
}

/// True when a server that is up answers more than it refuses, and an episode is nothing but refusals.
fn only_refuses(case: &Case, run: &Run, course: &Course, failures: &[usize]) -> bool {
    let facts = &case.facts;
    // Several rules may read one line.
    let mut answers: Vec<&Fact> = run.facts.iter().map(|&i| &facts[i]).filter(|f| f.kind == FactKind::RequestServed).collect();
    answers.dedup_by_key(|f| f.place.first_line);
    let served: u64 = answers.iter().map(|f| f.repeats).sum();
    let refused = run.facts.iter().filter(|&&i| facts[i].kind.is_failure() && is_of_a_client(&facts[i])).count() as u64;
    course.was_up
        && !course.fatal
        && served > refused
        && (failures.len() < 3 || failures.iter().all(|&i| facts[i].kind != FactKind::Overload))
        && failures.iter().all(|&i| is_of_a_client(&facts[i]))
}

/// True when a run had done its work before the order to stop: what stands after that is the stop.
fn stopped_in_order(case: &Case, run: &Run, episode: &Episode, course: &Course) -> bool {
    let at_work = told_to_stop(case, run).is_some_and(|stop| matches!(case.stages[stop], Some(Stage::Train | Stage::Download)));
    let killed_in_the_end = episode.facts.iter().any(|&i| exit_signal(&case.facts[i]) == Some(9));
    // A script that has all its answers takes its engine down itself.
    let had_answered = run.ready.is_some() || run.facts.iter().any(|&i| case.facts[i].event.as_deref() == Some("generation-finished"));
    course.stops_first && had_answered && !at_work && !killed_in_the_end
}

fn is_swallowed_capture(fact: &Fact) -> bool {
    fact.kind == FactKind::CaptureFailed || fact.kind == FactKind::OutOfMemory && fact.stage == Some(Stage::Capture)
}

/// The facts of an episode that may be its root, the likeliest first; none where it is no incident.
fn candidates(case: &Case, run: &Run, episode: &Episode, course: &Course) -> Vec<usize> {
    let facts = &case.facts;
    let mut candidates: Vec<usize> = episode.facts.iter().copied().filter(|&i| facts[i].kind.is_failure()).collect();
    if only_refuses(case, run, course, &candidates) || stopped_in_order(case, run, episode, course) {
        return Vec::new();
    }
    if episode.retried {
        let is_of_the_load = |i: usize| !matches!(facts[i].stage.or(case.stages[i]), Some(Stage::Serve | Stage::Prefill | Stage::Decode));
        candidates.retain(|&i| !is_of_the_load(i));
    }
    // What single requests asked for wrongly breaks no server that is up: what broke it is something else, if there is such.
    if course.was_up && candidates.iter().any(|&i| !is_of_a_client(&facts[i]) && standing(&facts[i]) <= 2) {
        candidates.retain(|&i| !is_of_a_client(&facts[i]));
    }
    // A script goes on after a step that failed: what ended it is said later.
    let last_cause = candidates.iter().copied().rfind(|&i| !facts[i].is_step() && (facts[i].is_uncaught || standing(&facts[i]) <= 2));
    candidates.retain(|&i| !facts[i].is_step() || !episode.survived && last_cause.is_none_or(|last| last < i));
    // A launcher that takes down what is left, because a child has failed, kills it.
    let takedown = episode.facts.iter().copied().find(|&i| facts[i].kind == FactKind::Symptom && facts[i].word("then") == Some("kills"));
    candidates.retain(|&i| !is_kill(&facts[i]) || takedown.is_none_or(|told| i < told));
    let explained = candidates.iter().any(|&i| facts[i].strength >= Strength::Weak);
    if !explained && course.died && !course.stops_first {
        candidates = unexplained(case, run, episode, candidates, course.fatal);
    }
    if course.stops_first || candidates.is_empty() && course.died {
        candidates = episode.facts.iter().copied().filter(|&i| facts[i].kind == FactKind::StopSignal).collect();
    }
    // A failure that the process got over before it came up was a fallback.
    let is_fallback = episode.survived && !course.was_up && !candidates.iter().any(|&i| is_swallowed_capture(&facts[i]));
    // An error that is only told, without an exception and without a request that failed of it, was handled.
    let is_remark = |fact: &Fact| fact.kind == FactKind::Internal && fact.strength == Strength::Weak && !fact.is_exception && fact.ends.is_none();
    let answers_with_errors = episode.facts.iter().any(|&i| &*facts[i].rule == "web-5xx" || facts[i].ends == Some(Ends::Request));
    let is_handled = episode.survived && course.was_up && !answers_with_errors && candidates.iter().all(|&i| is_remark(&facts[i]));
    let unexplained_form = candidates.iter().all(|&i| facts[i].strength == Strength::Form && !facts[i].is_exception);
    if is_fallback || is_handled || unexplained_form && !course.died {
        return Vec::new();
    }
    // Who stopped it, if somebody says so, is more than that it was stopped.
    let is_mute = |fact: &Fact| fact.kind == FactKind::StopSignal && fact.word("reason").is_none();
    candidates
        .sort_by_key(|&i| (standing(&facts[i]), is_mute(&facts[i]), facts[i].place.first_line, facts[i].place.part, Reverse(facts[i].priority)));
    candidates
}

fn judge<'c>(case: &'c Case, run_index: usize, run: &'c Run, episode: &Episode) -> Option<Verdict> {
    let facts = &case.facts;
    let course = Course::of(case, run, episode);
    let candidates = candidates(case, run, episode, &course);
    let first = said_by_the_engine(case, &candidates).or(candidates.first().copied())?;
    // Of the copies of one message the most complete is decisive.
    let same = |i: usize| facts[i].kind == facts[first].kind && standing(&facts[i]) == standing(&facts[first]);
    let root = candidates
        .iter()
        .copied()
        .filter(|&i| same(i) && is_copy(&facts[first], &facts[i]))
        .max_by_key(|&i| (facts[i].figures.known(), Reverse(i)))?;

    let says_start_failed = |fact: &Fact| fact.kind == FactKind::Symptom && fact.word("reason").is_some_and(|reason| reason.contains("tart"));
    let start_failed = run.ready.is_none() && episode.facts.iter().any(|&i| says_start_failed(&facts[i]));
    let at_start = |mut situation: Situation<'c>, index: usize| {
        if start_failed {
            situation.stage = Some(starting(situation.stage, case.stages[index]));
        }
        situation
    };
    let situation = at_start(situation(case, run, root, first), first);
    let mut claimed = claims(&situation).into_iter();
    let (cause, weight) = claimed.next().map(|(cause, claim)| (cause, claim.weight))?;
    let helped = claimed.filter(|(other, _)| other.id != "unknown" && other.id != "internal-error");
    let helped = helped.map(|(other, claim)| Contributing { cause: other.id, confidence: round(claim.weight.min(0.6)), reason: claim.reason });
    let mut roles = Roles { proof: vec![root], context: Vec::new(), symptoms: Vec::new(), contributing: helped.collect() };
    for &i in episode.facts.iter().filter(|&&i| i != root) {
        if facts[i].kind.is_failure() {
            let claim = claims(&at_start(situation_of(case, run, i), i)).into_iter().next();
            roles.assign(case, root, cause, i, claim, course.was_up);
        } else {
            match facts[i].kind {
                FactKind::Hint => roles.context.push(i),
                FactKind::StopSignal if facts[root].kind == FactKind::StopSignal && facts[i].word("reason").is_some() => roles.proof.push(i),
                _ => roles.symptoms.push(i),
            }
        }
    }
    roles.heed_hints(case, cause);
    let (impact, occurrences) = impact(case, run, episode, &course, &candidates, &roles.proof);
    let Roles { proof, context, symptoms, contributing } = roles;
    Some(Verdict {
        cause,
        confidence: round(weight),
        run: run_index,
        // Of the causes that are about training, the phase is that, whatever the marks say.
        stage: if cause.id == "training-oom" { Some(Stage::Train) } else { situation.stage },
        decisive: root,
        proof,
        context,
        symptoms,
        impact,
        recovered: false,
        occurrences,
        is_lower_bound: false,
        contributing,
    })
}

/// What the facts of an episode are to its verdict.
struct Roles {
    proof: Vec<usize>,
    context: Vec<usize>,
    symptoms: Vec<usize>,
    contributing: Vec<Contributing>,
}

impl Roles {
    /// Another failure than the root: one more proof, or a symptom, which may be of a cause in its own right.
    fn assign(&mut self, case: &Case, root: usize, cause: &'static Cause, index: usize, claim: Option<(&'static Cause, Claim)>, was_up: bool) {
        let (root, fact) = (&case.facts[root], &case.facts[index]);
        let Some((other, claim)) = claim else {
            self.symptoms.push(index);
            return;
        };
        if other.id == cause.id && fact.strength >= Strength::Weak
            || is_copy(root, fact)
            || is_refusal_behind(root, fact) && !case.are_of_two_ranks(root, fact)
        {
            self.proof.push(index);
            return;
        }
        self.symptoms.push(index);
        // A kernel that faults on another rank does not follow from what this one says.
        let may_follow = fact.kind.may_follow() && !(fact.kind == FactKind::KernelFault && case.are_of_two_ranks(root, fact));
        // What a client was refused took no part in what broke the server.
        let is_refusal = was_up && is_of_a_client(fact);
        if standing(fact) <= 2 && other.id != "unknown" && !may_follow && !is_refusal {
            let reason = format!("line {} says so in its own right", fact.place.first_line);
            self.contributed(other, round((claim.weight * 0.5).min(0.5)), reason);
        }
    }

    /// Hints at other causes.
    fn heed_hints(&mut self, case: &Case, cause: &'static Cause) {
        for fact in self.context.clone().into_iter().map(|i| &case.facts[i]).filter(|fact| fact.strength != Strength::Demoted) {
            let hinted = fact.hints.and_then(|kind| CAUSES.iter().find(|other| other.kinds.contains(&kind)));
            if let Some(other) = hinted.filter(|other| other.id != cause.id) {
                self.contributed(other, 0.3, format!("line {} points to it", fact.place.first_line));
            }
        }
    }

    fn contributed(&mut self, cause: &'static Cause, confidence: f64, reason: String) {
        if self.contributing.iter().all(|known| known.cause != cause.id) {
            self.contributing.push(Contributing { cause: cause.id, confidence, reason });
        }
    }
}

/// What an episode did, and how often.
fn impact(case: &Case, run: &Run, episode: &Episode, course: &Course, candidates: &[usize], proof: &[usize]) -> (Impact, u64) {
    let facts = &case.facts;
    // Ollama's server outlives its runners, and llama.cpp's router its instances.
    let is_runner = |fact: &Fact| fact.word("process") == Some("runner");
    let is_outlived = |fact: &Fact| &*fact.rule == "web-5xx" || fact.ends == Some(Ends::Request);
    let is_ollama = case.engine_of(run.container.as_deref()) == Some("ollama");
    let answered = episode.facts.iter().any(|&i| is_runner(&facts[i]) || is_ollama && is_outlived(&facts[i]));
    let one_request = answered || episode.facts.iter().any(|&i| facts[i].ends == Some(Ends::Request)) && !course.fatal;
    if course.died && !one_request {
        return (Impact::ProcessDied, 1);
    }
    let swallowed_capture = episode.survived && candidates.iter().any(|&i| is_swallowed_capture(&facts[i]));
    let impact = if swallowed_capture { Impact::Degraded } else { Impact::RequestsFailed };
    // An answer with an error stands for one request, however many lines speak of it.
    let refused = episode.facts.iter().filter(|&&i| matches!(&*facts[i].rule, "web-5xx" | "ollama-gin-500")).count() as u64;
    if answered && refused > 0 {
        return (impact, refused);
    }
    (impact, proof.iter().map(|&i| facts[i].repeats).max().unwrap_or(1).max(count_distinct(case, proof)))
}

/// What may explain a death of which no failure is known: figures that leave no room, a signal, a message that was logged
/// below the level of an error, at last the symptoms themselves.
fn unexplained(case: &Case, run: &Run, episode: &Episode, known_by_form: Vec<usize>, fatal: bool) -> Vec<usize> {
    let facts = &case.facts;
    let end = episode.facts.last().copied().unwrap_or(0);
    let no_room = run.facts.iter().copied().rfind(|&i| i <= end && facts[i].figures.kv_available_bytes.is_some_and(|bytes| bytes <= 0));
    if let Some(no_room) = no_room {
        return vec![no_room];
    }
    let of = |wanted: &dyn Fn(&Fact) -> bool| -> Vec<usize> { episode.facts.iter().copied().filter(|&i| wanted(&facts[i])).collect() };
    let signals = of(&|f| exit_signal(f).is_some());
    // Who ended it, and why, is said by what manages it: the signal is how.
    let stopped_for = of(&|f| f.kind == FactKind::StopSignal && f.word("reason").is_some());
    if !stopped_for.is_empty() && signals.iter().all(|&i| matches!(exit_signal(&facts[i]), Some(2 | 9 | 15))) {
        return stopped_for;
    }
    if !signals.is_empty() {
        return signals;
    }
    let demoted = of(&|f| f.kind == FactKind::Hint && f.strength == Strength::Demoted);
    if fatal && !demoted.is_empty() {
        return demoted;
    }
    if !known_by_form.is_empty() {
        return known_by_form;
    }
    let grave = |f: &Fact| fatal || f.is_exception || f.place.level.is_some_and(|level| level >= Level::Error);
    of(&|f| matches!(f.kind, FactKind::Symptom | FactKind::ProcessExit) && !is_clean_exit(f) && grave(f))
}

/// An allocator says that memory was refused; the engine's own sentence that follows says what it was for.
fn said_by_the_engine(case: &Case, candidates: &[usize]) -> Option<usize> {
    let facts = &case.facts;
    let refusal = &facts[*candidates.first()?];
    if !matches!(refusal.kind, FactKind::OutOfMemory | FactKind::HostMemory) {
        return None;
    }
    candidates.iter().copied().find(|&i| {
        let fact = &facts[i];
        // The same message with a traceback may say more than without.
        (fact.kind.says_what_for() || fact.kind == FactKind::DeviceOccupied && fact.rule == refusal.rule)
            && fact.strength == Strength::Exact
            && fact.place.record <= refusal.place.record.saturating_add(NEAR)
            && !case.are_of_two_ranks(refusal, fact)
    })
}

fn round(weight: f64) -> f64 {
    (weight * 100.0).round() / 100.0
}

/// Requests fail one by one; copies of one failure are printed close together.
fn count_distinct(case: &Case, proof: &[usize]) -> u64 {
    let rule = proof.first().map(|&i| case.facts[i].rule.clone());
    let mut places: Vec<(u64, Option<&str>)> = proof
        .iter()
        .map(|&i| &case.facts[i])
        .filter(|f| Some(&f.rule) == rule.as_ref())
        .map(|f| (f.place.first_line, f.place.stamp.as_deref().map(|stamp| stamp.text.get(..19).unwrap_or(&stamp.text))))
        .collect();
    places.sort_unstable();
    // To the second: copies are printed within one.
    let apart = |pair: &&[(u64, Option<&str>)]| pair[1].0 - pair[0].0 > 3 || pair[0].1 != pair[1].1;
    1 + places.windows(2).filter(apart).count() as u64
}

fn is_clean_exit(fact: &Fact) -> bool {
    fact.kind == FactKind::ProcessExit && (fact.number("exit_code") == Some(0) || fact.word("exit_code").is_none() && fact.word("signal").is_none())
}

fn is_copy(a: &Fact, b: &Fact) -> bool {
    a.kind == b.kind
        && (a.rule == b.rule || a.figures.tried_bytes.is_some())
        && (a.figures.tried_bytes == b.figures.tried_bytes || a.figures.tried_bytes.is_none() || b.figures.tried_bytes.is_none())
        && (a.figures.device == b.figures.device || a.figures.device.is_none() || b.figures.device.is_none())
}

/// True for the allocator's refusal that the engine's sentence is about: it gives the figures.
fn is_refusal_behind(sentence: &Fact, fact: &Fact) -> bool {
    matches!(fact.kind, FactKind::OutOfMemory | FactKind::HostMemory)
        && sentence.kind.says_what_for()
        && fact.place.record.abs_diff(sentence.place.record) <= NEAR
}

/// What a process was at whose launcher says that its start failed: it never served.
fn starting(told: Option<Stage>, by_marks: Option<Stage>) -> Stage {
    match (told, by_marks) {
        (Some(Stage::Prefill | Stage::Decode), _) => Stage::Profile,
        (None | Some(Stage::Serve), Some(marked)) if !matches!(marked, Stage::Serve | Stage::Prefill | Stage::Decode) => marked,
        (None | Some(Stage::Serve), _) => Stage::Load,
        (Some(stage), _) => stage,
    }
}

fn situation<'c>(case: &'c Case, run: &'c Run, root: usize, first: usize) -> Situation<'c> {
    let mut situation = situation_of(case, run, root);
    // The copy that came first knows the stage best: it has the traceback, or stands nearest to the marks.
    let earlier = &case.facts[first];
    if !case.facts[root].stage_is_proven {
        situation.stage = if earlier.stage_is_proven { earlier.stage } else { case.stages[first].or(situation.stage) };
    }
    situation
}

fn situation_of<'c>(case: &'c Case, run: &'c Run, index: usize) -> Situation<'c> {
    let fact = &case.facts[index];
    let stage = if fact.stage_is_proven { fact.stage } else { case.stages[index].or(fact.stage) };
    let engine = case.engine_of(run.container.as_deref());
    // Judgements do not depend on the model's name.
    Situation { case, run, fact, stage, figures: case.figures_at(run, index, &[]), engine, model: None, need: None }
}

/// What the causes make of a failure, the heaviest claim first. A user's own rule names its cause itself.
fn claims(situation: &Situation<'_>) -> Vec<(&'static Cause, Claim)> {
    if let Some(cause) = situation.fact.cause.as_deref().and_then(by_id) {
        return vec![(cause, Claim { weight: 0.95, reason: format!("your own rule `{}` says so", situation.fact.rule) })];
    }
    let mut claims: Vec<(&'static Cause, Claim)> = CAUSES.iter().filter_map(|cause| (cause.claim)(situation).map(|claim| (*cause, claim))).collect();
    claims.sort_by(|a, b| b.1.weight.total_cmp(&a.1.weight));
    claims
}
