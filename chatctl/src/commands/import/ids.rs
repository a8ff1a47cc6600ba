//! Converts the original's ids, all of which are texts, into ours.

use shared::ids::{ConversationId, UserId};

/// `None` if it is not a number.
pub fn user(text: Option<&str>) -> Option<UserId> {
    text?.parse().ok()
}

/// True if a conversation id of the original has to be stored to be understood, because it is not one of ours.
pub fn is_own_making(text: &str) -> bool {
    !text.is_empty() && text.parse::<ConversationId>().is_err()
}

/// Turns the entities that the original wrote back into characters, once.
pub fn decode_entities(text: &str) -> String {
    const ENTITIES: [(&str, char); 5] =
        [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>'), ("&quot;", '"'), ("&#x27;", '\'')];
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        decoded.push_str(&rest[..at]);
        rest = &rest[at..];
        let found = ENTITIES.iter().find_map(|(entity, char)| Some((rest.strip_prefix(entity)?, *char)));
        let (after, char) = found.unwrap_or((&rest[1..], '&'));
        decoded.push(char);
        rest = after;
    }
    decoded.push_str(rest);
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_are_decoded_once() {
        assert_eq!(decode_entities("a &amp; b &lt;c&gt; &quot;d&quot; &#x27;e&#x27; &"), "a & b <c> \"d\" 'e' &");
        assert_eq!(decode_entities("&amp;lt; &amp;amp; &nbsp; ä&amp;"), "&lt; &amp; &nbsp; ä&");
    }

    #[test]
    fn only_foreign_ids_are_made_by_clients() {
        assert!(is_own_making("conv_user-1_user-2") && is_own_making("general"));
        assert!(!is_own_making("conv_10_9") && !is_own_making(""));
    }
}
