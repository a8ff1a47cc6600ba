//! Whom a text may mention: everyone only in small groups or by an owner or admin, and nobody who blocks its author or is
//! blocked by the author.

use std::collections::{HashMap, HashSet};

use shared::ids::{GroupId, UserId};

use super::text::{self, Mentioned, Names};
use crate::store::session::PgSession;
use crate::store::{groups, users};

/// A text that its author writes to a group.
#[derive(Clone, Copy)]
pub struct Writing<'a> {
    pub group: GroupId,
    pub author: UserId,
    pub text: &'a str,
}

/// Returns whom each of these texts mentions, in the order of the texts, and of appearance in them. In groups of more than
/// `everyone_size` members, an ordinary member's mention of everyone is plain text; so is a mention between users of whom
/// one blocks the other.
pub async fn list_allowed(
    db: &mut PgSession,
    writings: &[Writing<'_>],
    everyone_size: u32,
) -> sqlx::Result<Vec<Vec<Mentioned>>> {
    let mut mentioned = list_named(db, writings).await?;
    drop_everyone(db, writings, &mut mentioned, everyone_size).await?;
    drop_blocked(db, writings, &mut mentioned).await?;
    Ok(mentioned)
}

/// Reads only members who may be named: the names of a large group take longer than everything else about a message.
async fn list_named(db: &mut PgSession, writings: &[Writing<'_>]) -> sqlx::Result<Vec<Vec<Mentioned>>> {
    let mut asked: HashSet<(GroupId, String)> = HashSet::new();
    for Writing { group, text, .. } in writings {
        asked.extend(text::keys(text).into_iter().map(|key| (*group, key)));
    }
    let mut members: HashMap<GroupId, Vec<(UserId, String)>> = HashMap::new();
    if !asked.is_empty() {
        let (groups, keys): (Vec<GroupId>, Vec<String>) = asked.into_iter().unzip();
        for member in groups::list_members_named(db, &groups, &keys).await? {
            members.entry(member.group_id).or_default().push((member.user_id, member.username));
        }
    }
    let names: HashMap<GroupId, Names<'_>> = members.iter().map(|(group, of)| (*group, Names::of(of))).collect();
    let none = Names::of(&[]);
    let found = writings
        .iter()
        .map(|writing| text::find(writing.text, writing.author, names.get(&writing.group).unwrap_or(&none)));
    Ok(found.collect())
}

async fn drop_everyone(
    db: &mut PgSession,
    writings: &[Writing<'_>],
    mentioned: &mut [Vec<Mentioned>],
    everyone_size: u32,
) -> sqlx::Result<()> {
    let calling = writings.iter().zip(&*mentioned).filter(|(_, mentioned)| mentioned.contains(&Mentioned::Everyone));
    let (groups, authors): (Vec<GroupId>, Vec<UserId>) =
        calling.map(|(writing, _)| (writing.group, writing.author)).unzip();
    if groups.is_empty() {
        return Ok(());
    }
    let allowed = groups::list_allowed_to_call(db, &groups, &authors, i64::from(everyone_size)).await?;
    let allowed: HashSet<(GroupId, UserId)> = allowed.into_iter().collect();
    for (writing, mentioned) in writings.iter().zip(mentioned) {
        if !allowed.contains(&(writing.group, writing.author)) {
            mentioned.retain(|one| *one != Mentioned::Everyone);
        }
    }
    Ok(())
}

async fn drop_blocked(
    db: &mut PgSession,
    writings: &[Writing<'_>],
    mentioned: &mut [Vec<Mentioned>],
) -> sqlx::Result<()> {
    let pairs = writings
        .iter()
        .zip(&*mentioned)
        .flat_map(|(writing, mentioned)| mentioned.iter().filter_map(|one| Some((writing.author, one.user()?))));
    let (authors, others): (Vec<UserId>, Vec<UserId>) = pairs.unzip();
    if authors.is_empty() {
        return Ok(());
    }
    let blocked = users::list_blocked_among(db, &authors, &others).await?;
    let blocked: HashSet<(UserId, UserId)> = blocked.iter().map(|pair| (pair.user_id, pair.other_id)).collect();
    for (writing, mentioned) in writings.iter().zip(mentioned) {
        mentioned.retain(|one| !one.user().is_some_and(|user| blocked.contains(&(writing.author, user))));
    }
    Ok(())
}
