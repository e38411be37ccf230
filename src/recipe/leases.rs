//! What the nodes of a semaphore are called and hold.

/// Where the guard's queue of a semaphore is: beside its path, not in it.
pub fn guard_directory(path: &str) -> String {
    format!("{path}-__lock__")
}

/// The children that are leases: 32 hexadecimal digits, as every client makes them. What else lies
/// there holds nothing.
pub fn only_leases(mut children: Vec<String>) -> Vec<String> {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    children.retain(|child| child.len() == 32 && child.bytes().all(digit));
    children
}

/// A number as kazoo reads it; anything else is data of another purpose, and not ours to judge.
pub fn number(data: &[u8]) -> Option<u64> {
    std::str::from_utf8(data).ok()?.trim().parse().ok()
}

/// What Python's `str()` makes of these bytes: kazoo writes its identifier so into the guard.
pub(super) fn python_bytes(bytes: &[u8]) -> Vec<u8> {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    let mut text = format!("b{quote}");
    for &byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b'\t' => text.push_str("\\t"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\'' if quote == '\'' => text.push_str("\\'"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => text.extend(format!("\\x{byte:02x}").chars()),
        }
    }
    text.push(quote);
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_in_the_guard_are_what_python_prints() {
        let table: [(&[u8], &str); 6] = [
            (b"host3", "b'host3'"),
            (b"", "b''"),
            (b"it's", "b\"it's\""),
            (b"it's \"it\"", "b'it\\'s \"it\"'"),
            ("ä\n".as_bytes(), "b'\\xc3\\xa4\\n'"),
            (b"a\\b", "b'a\\\\b'"),
        ];
        for (bytes, printed) in table {
            assert_eq!(String::from_utf8(python_bytes(bytes)).unwrap(), printed);
        }
    }

    #[test]
    fn only_what_a_client_made_is_a_lease() {
        let lease = "0123456789abcdef0123456789abcdef";
        let children = [lease, "junk", "0123456789ABCDEF0123456789abcdef", "0123"].map(str::to_owned);
        assert_eq!(only_leases(children.to_vec()), [lease]);
    }
}
