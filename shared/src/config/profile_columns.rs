//! The names of the main backend's profile columns, for those that are not found automatically.

const FIELDS: [&str; 6] = ["user_id", "display_name", "first_name", "last_name", "bio", "profile_picture"];

/// Parses `field=column` pairs separated by commas; `None` if the text is something else.
pub fn parse_profile_columns(text: &str) -> Option<Vec<(String, String)>> {
    let mut columns: Vec<(String, String)> = Vec::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (field, column) = pair.split_once('=')?;
        let (field, column) = (field.trim(), column.trim());
        if !FIELDS.contains(&field) || column.is_empty() || column.len() > 63 || columns.iter().any(|(f, _)| f == field)
        {
            return None;
        }
        columns.push((field.to_owned(), column.to_owned()));
    }
    Some(columns)
}
