//! Text with names in braces: `/v2/{id}`. `{{` and `}}` stand for a brace.

/// A part of such a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece<'t> {
    /// As it is.
    Text(String),
    /// What stands between braces.
    Name(&'t str),
}

/// The parts of a text, no two texts beside each other; or what is wrong with it.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        plain.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            plain.push_str(brace);
            rest = after;
            continue;
        }
        if brace == "}" {
            return Err("has a \"}\" without its \"{\"; write \"}}\" for one".to_owned());
        }
        let (name, after) = rest
            .split_once('}')
            .filter(|(name, _)| !name.contains('{'))
            .ok_or("has a \"{\" without its \"}\"; write \"{{\" for one")?;
        if name.is_empty() {
            return Err("has \"{}\" in it, which names nothing".to_owned());
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
        }
        pieces.push(Piece::Name(name));
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}

/// "the path has {id} and {*rest}" of the parameters that there are.
pub(super) fn known(params: &[&str]) -> String {
    let mut names: Vec<String> = params.iter().map(|name| format!("{{{name}}}")).collect();
    let Some(last) = names.pop() else {
        return "the path has none".to_owned();
    };
    match &names[..] {
        [] => format!("the path has {last}"),
        names => format!("the path has {} and {last}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_hold_names_and_doubled_ones_are_text() {
        let text = |text: &str| Piece::Text(text.to_owned());
        for (written, expected) in [
            ("", vec![]),
            ("/a", vec![text("/a")]),
            ("/{id}/b", vec![text("/"), Piece::Name("id"), text("/b")]),
            ("{a}{b}", vec![Piece::Name("a"), Piece::Name("b")]),
            ("{{id}}", vec![text("{id}")]),
            ("{{{id}}}", vec![text("{"), Piece::Name("id"), text("}")]),
            ("é{ö}ü", vec![text("é"), Piece::Name("ö"), text("ü")]),
        ] {
            assert_eq!(pieces(written), Ok(expected), "{written}");
        }
    }

    #[test]
    fn braces_that_do_not_fit_are_told() {
        for (written, reason) in [
            ("{id", "without its \"}\""),
            ("{", "without its \"}\""),
            ("{a{b}", "without its \"}\""),
            ("a}", "without its \"{\""),
            ("{}", "names nothing"),
        ] {
            let error = pieces(written).expect_err(written);
            assert!(error.contains(reason), "{written}: {error}");
        }
    }
}
