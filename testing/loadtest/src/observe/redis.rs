//! Redis' own count of commands. Commands that scripts call count, too.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use fred::cmd;
use fred::prelude::*;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);

pub struct Redis {
    client: Client,
}

/// Calls and microseconds by command.
pub type Counts = BTreeMap<String, (u64, u64)>;

impl Redis {
    pub async fn connect(url: &str) -> Result<Self> {
        // The URL holds a password, so it is not part of any message.
        let client = Builder::from_config(Config::from_url(url).context("the Redis URL")?).build()?;
        let connecting = tokio::time::timeout(CONNECT_WITHIN, client.init());
        connecting.await.context("Redis does not answer")?.context("connecting to Redis")?;
        Ok(Self { client })
    }

    pub async fn counts(&self) -> Result<Counts> {
        let info: String = self.client.custom(cmd!("INFO"), vec!["commandstats"]).await?;
        Ok(parse(&info))
    }
}

/// Lines such as `cmdstat_publish:calls=12,usec=34,usec_per_call=2.83,rejected_calls=0,failed_calls=0`.
fn parse(info: &str) -> Counts {
    let line = |line: &str| {
        let (name, fields) = line.strip_prefix("cmdstat_")?.split_once(':')?;
        let field = |name: &str| {
            let field = fields.split(',').find_map(|field| field.strip_prefix(name))?;
            field.strip_prefix('=')?.trim().parse::<u64>().ok()
        };
        Some((name.to_owned(), (field("calls")?, field("usec")?)))
    };
    info.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_counts_are_read() {
        let info = "# Commandstats\r\ncmdstat_client|setinfo:calls=2,usec=5,usec_per_call=2.50\r\n\
                    cmdstat_publish:calls=12,usec=34,usec_per_call=2.83,rejected_calls=0,failed_calls=0\r\n";
        let counts = parse(info);
        assert_eq!(counts["publish"], (12, 34));
        assert_eq!(counts.len(), 2);
    }
}
