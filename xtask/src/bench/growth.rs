//! The cost of a message as the work grows: the same closed loop against larger tables, more partitions and more
//! processes.

use anyhow::{Context as _, Result};

use super::runs::Sizes;
use super::site::{DATABASE as USUAL_DATABASE, Shape, Site};
use super::target::at;

const DATABASE: &str = "growth";
const GROUPS: [&str; 4] = ["gateway", "worker", "postgres", "redis"];

/// One place on one axis.
#[derive(Debug)]
pub struct Cost {
    pub axis: &'static str,
    pub at: String,
    /// CPU seconds per 1,000 messages of all processes.
    pub cpu_seconds: f64,
    /// Messages per second, closed loop.
    pub rate: f64,
}

pub fn measure(site: &mut Site, sizes: &Sizes) -> Result<Vec<Cost>> {
    let mut costs = Vec::new();
    site.create_database(DATABASE)?;
    site.add_users(DATABASE, sizes.pairs as u64 * 2)?;
    let mut run = |site: &mut Site, axis: &'static str, at: String, shape: Shape| -> Result<()> {
        site.reshape(DATABASE, shape)?;
        costs.push(cost(site, sizes, axis, at)?);
        Ok(())
    };
    let usual = Shape::default();
    run(site, "messages stored", "0".to_owned(), usual)?;
    for partitions in [16, 256] {
        run(site, "partitions", partitions.to_string(), Shape { partitions, ..usual })?;
    }
    for of_a_kind in [1, 4] {
        let shape = Shape { gateways: of_a_kind, workers: of_a_kind, ..usual };
        run(site, "gateways + workers", format!("{of_a_kind} + {of_a_kind}"), shape)?;
    }
    run(site, "users", (2 * sizes.pairs).to_string(), usual)?;
    site.add_users(DATABASE, sizes.grown_users)?;
    run(site, "users", sizes.grown_users.to_string(), usual)?;
    println!("==> storing {} messages", sizes.grown_messages);
    let file = site.dir().join("growth.sql");
    std::fs::write(&file, fill(sizes.grown_messages))?;
    site.postgres.run_file(DATABASE, &file)?;
    run(site, "messages stored", sizes.grown_messages.to_string(), usual)?;
    site.reshape(USUAL_DATABASE, usual)?;
    Ok(costs)
}

fn cost(site: &Site, sizes: &Sizes, axis: &'static str, place: String) -> Result<Cost> {
    let args = ["--closed", sizes.window, "--duration", sizes.growth_for, "--warmup", "2s"];
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

/// Returns by what share a message costs more at the expensive end of an axis than at the cheap one, for the worst
/// axis.
pub fn worst_growth(costs: &[Cost]) -> Option<f64> {
    let axes: std::collections::BTreeSet<&str> = costs.iter().map(|cost| cost.axis).collect();
    let growth = |axis: &str| {
        let of_axis: Vec<f64> = costs.iter().filter(|cost| cost.axis == axis).map(|cost| cost.cpu_seconds).collect();
        Some(of_axis.last()? / of_axis.first()? - 1.0)
    };
    axes.into_iter().filter_map(growth).max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_axis_counts() {
        let cost = |axis, cpu_seconds| Cost { axis, at: String::new(), cpu_seconds, rate: 1.0 };
        let costs = [cost("a", 1.0), cost("b", 2.0), cost("a", 1.5), cost("b", 2.1)];
        assert!((worst_growth(&costs).unwrap() - 0.5).abs() < 1e-9);
        assert_eq!(worst_growth(&[]), None);
    }
}
