//! The cost of a message as the work grows: the same closed loop against larger tables, more partitions and more
//! processes.

use anyhow::{Context as _, Result};

use super::plot::Chart;
use super::section::Section;
use super::setup::{Setup, Sizes};
use super::site::{Shape, Site};
use super::target::{Figure, at, number};

const DATABASE: &str = "growth";
/// The axes of the number of processes, with as many unanswered messages for all of them, and for each of them: with fewer
/// for each, batches are smaller, and cost more for each message.
const PROCESSES: &str = "gateways + workers";
const LOADED_PROCESSES: &str = "gateways + workers, as many unanswered messages for each";
const GROUPS: [&str; 4] = ["gateway", "worker", "postgres", "redis"];

/// One place on one axis.
#[derive(Debug)]
struct Cost {
    axis: &'static str,
    at: String,
    /// CPU seconds per 1,000 messages of all processes.
    cpu_seconds: f64,
    /// Messages per second, closed loop.
    rate: f64,
}

pub fn measure(setup: &Setup) -> Result<Section> {
    let mut site = Site::start(setup, 2)?;
    let costs = costs(&mut site, &setup.sizes)?;
    let mut section = Section::new("Growth");
    let figure = |name: &str, share: Option<f64>| Figure::at_most(name, share.map(|share| share * 100.0), 10.0, "%");
    section.figures = vec![
        figure("cost of a message, growth from 1 + 1 to 4 + 4 processes", growth(&costs, PROCESSES)),
        figure("the same, with as many unanswered messages for each process", growth(&costs, LOADED_PROCESSES)),
        figure("growth along the worst axis", worst_growth(&costs)),
    ];
    section.text(
        "The same closed loop of direct messages, each time by new processes with an empty Redis, in a database of its own that is \
         empty at first.\n\n![Cost against growth](benchmarks-growth.svg)",
    );
    let row = |cost: &Cost| vec![cost.axis.to_owned(), cost.at.clone(), number(cost.cpu_seconds), number(cost.rate)];
    let heads = ["", "at", "CPU seconds per 1,000 messages, stores included", "messages/s"];
    section.table(&heads, costs.iter().map(row));
    section.plots.push(("benchmarks-growth.svg".to_owned(), chart(&costs)));
    Ok(section)
}

fn costs(site: &mut Site, sizes: &Sizes) -> Result<Vec<Cost>> {
    let mut costs = Vec::new();
    site.create_database(DATABASE)?;
    site.add_users(DATABASE, sizes.pairs as u64 * 2)?;
    let mut run = |site: &mut Site, axis: &'static str, at: String, shape: Shape, window: &str| -> Result<()> {
        site.reshape(DATABASE, shape)?;
        costs.push(cost(site, sizes, axis, at, window)?);
        Ok(())
    };
    let usual = Shape::default();
    run(site, "messages stored", "0".to_owned(), usual, sizes.window)?;
    for partitions in [16, 256] {
        run(site, "partitions", partitions.to_string(), Shape { partitions, ..usual }, sizes.window)?;
    }
    for of_a_kind in [1, 4] {
        let place = format!("{of_a_kind} + {of_a_kind}");
        run(site, PROCESSES, place, Shape::processes(of_a_kind), sizes.window)?;
    }
    let window: usize = sizes.window.parse().context("the window")?;
    for of_a_kind in [1, 4] {
        let window = (window * of_a_kind).to_string();
        let place = format!("{of_a_kind} + {of_a_kind}, {window} for each sender");
        run(site, LOADED_PROCESSES, place, Shape::processes(of_a_kind), &window)?;
    }
    run(site, "users", (2 * sizes.pairs).to_string(), usual, sizes.window)?;
    site.add_users(DATABASE, sizes.grown_users)?;
    run(site, "users", sizes.grown_users.to_string(), usual, sizes.window)?;
    println!("==> storing {} messages", sizes.grown_messages);
    let file = site.dir().join("growth.sql");
    std::fs::write(&file, fill(sizes.grown_messages))?;
    site.postgres.run_file(DATABASE, &file)?;
    run(site, "messages stored", sizes.grown_messages.to_string(), usual, sizes.window)?;
    Ok(costs)
}

fn cost(site: &Site, sizes: &Sizes, axis: &'static str, place: String, window: &str) -> Result<Cost> {
    let args = ["--closed", window, "--duration", sizes.growth_for, "--warmup", "2s"];
    let result = site.loadtest(&format!("{axis}: {place}"), "direct", 0..2 * sizes.pairs, &args)?;
    let cpu = |group: &&str| at(&result, &format!("/groups/{group}/cpu_seconds_per_1000"));
    let cpu_seconds = GROUPS.iter().map(|group| cpu(group).context("no CPU time")).sum::<Result<f64>>()?;
    let rate = at(&result, "/per_second/acknowledged").context("no rate")?;
    Ok(Cost { axis, at: place, cpu_seconds, rate })
}

/// Messages of other people, in conversations of a hundred.
fn fill(messages: u64) -> String {
    let conversations = messages / 100;
    format!(
        "INSERT INTO conversations (conversation_id, last_seq, message_count, version, last_message_at)
             SELECT 'conv_' || 1000000 + c || '_' || 2000000 + c, 100, 100, 1, now() FROM generate_series(1, {conversations}) c;
         INSERT INTO conversation_members (user_id, conversation_id)
             SELECT m, 'conv_' || 1000000 + c || '_' || 2000000 + c
             FROM generate_series(1, {conversations}) c, unnest(ARRAY[1000000 + c, 2000000 + c]) m;
         INSERT INTO private_messages
             (message_id, conversation_id, seq, sender_id, recipient_id, content, iv, mac, key_id, created_at)
             SELECT (lpad(to_hex(1700000000000 + seq * {conversations} + c), 12, '0') || '7' || substr(md5(c || '.' || seq), 1, 3)
                     || '8' || substr(md5(c || '.' || seq), 4, 15))::uuid,
                 'conv_' || 1000000 + c || '_' || 2000000 + c, seq, 1000000 + c, 2000000 + c,
                 decode(repeat(md5(c::text), 7), 'hex'), decode(md5(c::text), 'hex'), decode(repeat(md5(c::text), 2), 'hex'), 1,
                 now() - interval '1 year' + seq * interval '1 hour'
             FROM generate_series(1, 100) seq, generate_series(1, {conversations}) c;
         VACUUM ANALYZE;"
    )
}

/// Returns by what share a message costs more at the expensive end of an axis than at the cheap one.
fn growth(costs: &[Cost], axis: &str) -> Option<f64> {
    let of_axis: Vec<f64> = costs.iter().filter(|cost| cost.axis == axis).map(|cost| cost.cpu_seconds).collect();
    Some(of_axis.last()? / of_axis.first()? - 1.0)
}

fn worst_growth(costs: &[Cost]) -> Option<f64> {
    let axes: std::collections::BTreeSet<&str> = costs.iter().map(|cost| cost.axis).collect();
    axes.into_iter().filter_map(|axis| growth(costs, axis)).max_by(f64::total_cmp)
}

fn chart(costs: &[Cost]) -> String {
    let axes = ["messages stored", "users", "partitions", PROCESSES];
    let series = |axis: &&'static str| {
        let of_axis: Vec<f64> = costs.iter().filter(|cost| cost.axis == *axis).map(|cost| cost.cpu_seconds).collect();
        let first = of_axis.first().copied().unwrap_or(1.0);
        (*axis, of_axis.iter().enumerate().map(|(place, cost)| (place as f64, cost / first)).collect())
    };
    Chart {
        title: "Cost of a message from the small end of each axis to the large one",
        x: "0: small, 1: large",
        y: "CPU time, as a multiple",
        series: axes.iter().map(series).collect(),
    }
    .render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_axis_counts() {
        let cost = |axis, cpu_seconds| Cost { axis, at: String::new(), cpu_seconds, rate: 1.0 };
        let costs = [cost("a", 1.0), cost("b", 2.0), cost("a", 1.5), cost("b", 2.1)];
        assert!((worst_growth(&costs).unwrap() - 0.5).abs() < 1e-9);
        assert!((growth(&costs, "b").unwrap() - 0.05).abs() < 1e-9);
        assert_eq!(worst_growth(&[]), None);
    }
}
