//! Reads single fields of the server's JSON without parsing it. The server writes `type` first and no white space.

use memchr::memmem;

/// Returns the event's `type`; empty if it does not begin like one of the server's.
pub fn kind(json: &[u8]) -> &[u8] {
    let Some(rest) = json.strip_prefix(b"{\"type\":\"") else { return b"" };
    let end = memchr::memchr(b'"', rest).unwrap_or(0);
    rest.get(..end).unwrap_or_default()
}

/// Returns the number after `marker`, for example `"seq":`. Quotes around it are ignored.
pub fn number(json: &[u8], marker: &[u8]) -> Option<u64> {
    let at = memmem::find(json, marker)? + marker.len();
    leading_number(json.get(at..)?.strip_prefix(b"\"").unwrap_or(json.get(at..)?)).map(|(number, _)| number)
}

/// Returns the text after `marker` up to the next quote; only for values without escapes.
pub fn text<'a>(json: &'a [u8], marker: &[u8]) -> Option<&'a str> {
    let at = memmem::find(json, marker)? + marker.len();
    let rest = json.get(at..)?.strip_prefix(b"\"")?;
    std::str::from_utf8(rest.get(..memchr::memchr(b'"', rest)?)?).ok()
}

/// Returns the parts of `json` that begin with `start`, each up to the end.
pub fn each<'a>(json: &'a [u8], start: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    memmem::find_iter(json, start).filter_map(|at| json.get(at..))
}

/// Returns a decimal number and the bytes after it.
pub fn leading_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = bytes.split_at_checked(digits)?;
    if number.is_empty() {
        return None;
    }
    let add = |sum: u64, digit: &u8| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    Some((number.iter().try_fold(0, add)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        let json = br#"{"type":"message_sent","requestId":17,"messageId":"msg_1","seq":3,"senderId":"42"}"#;
        assert_eq!(kind(json), b"message_sent");
        assert_eq!(number(json, b"\"requestId\":"), Some(17));
        assert_eq!(number(json, b"\"senderId\":"), Some(42));
        assert_eq!(text(json, b"\"messageId\":"), Some("msg_1"));
        assert_eq!(number(json, b"\"absent\":"), None);
        assert_eq!(number(br#"{"seq":99999999999999999999}"#, b"\"seq\":"), None);
        assert_eq!(kind(b"[]"), b"");
        let batch = br#"{"type":"presence_changed","changes":[{"type":"user_online"},{"type":"user_offline"}]}"#;
        let kinds: Vec<&[u8]> = each(batch, b"{\"type\":\"user_o").map(kind).collect();
        assert_eq!(kinds, [&b"user_online"[..], b"user_offline"]);
    }
}
