//! Orders with items, as a shop's service would list them. They are made from their numbers, so that they
//! are the same each time.

use std::fmt::Write;

/// A JSON value. Numbers are as they are written.
#[derive(Debug, Clone)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(&'static str, Json)>),
}

/// As many orders as make a document of at least so many bytes.
pub(crate) fn orders(bytes: usize) -> Vec<Json> {
    let mut orders = Vec::new();
    let mut length = 0;
    while length < bytes {
        let order = order(orders.len() as u64);
        length += order.text().len();
        orders.push(order);
    }
    orders
}

/// A document with these orders.
pub(crate) fn list(orders: Vec<Json>) -> Json {
    let count = orders.len();
    Json::Object(vec![
        ("page", Json::Number("1".to_owned())),
        ("orders", Json::Array(orders)),
        ("count", Json::Number(count.to_string())),
    ])
}

/// Puts orders in another order.
pub(crate) fn shuffle(orders: &mut [Json]) {
    let mut random = Random(7);
    for last in (1..orders.len()).rev() {
        orders.swap(last, random.below(last + 1));
    }
    // Two may have come back to where they were.
    orders.rotate_left(1);
}

/// The order of this number.
pub(crate) fn order(number: u64) -> Json {
    let mut random = Random(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let count = 1 + random.below(4);
    let items = (0..count).map(|_| item(&mut random)).collect();
    let (day, minute) = (1 + random.below(28), random.below(60));
    let paid = random.below(2) == 0;
    Json::Object(vec![
        ("id", text(format!("ord-{:08x}-{number}", random.next()))),
        ("number", Json::Number((1_000_000 + number).to_string())),
        (
            "created_at",
            text(format!("2026-03-{day:02}T11:{minute:02}:07.250Z")),
        ),
        (
            "status",
            text(random.of(&["new", "packed", "sent", "returned"])),
        ),
        ("paid", Json::Bool(paid)),
        ("customer", customer(&mut random)),
        ("items", Json::Array(items)),
        ("total", random.price()),
        (
            "note",
            match random.below(3) {
                0 => Json::Null,
                1 => text("Please ring twice:\n\"the bell\" is quiet.\tThanks!"),
                _ => text(
                    "Leave it with the neighbours if nobody opens the door, they know about it.",
                ),
            },
        ),
    ])
}

fn customer(random: &mut Random) -> Json {
    let first = random.of(&["Ann", "Jürgen", "Zoë", "Mei", "Said", "Ola"]);
    let last = random.of(&["Miller", "Weiß", "O'Neill", "陳", "Haddad", "Nowak"]);
    let number = random.below(1_000_000);
    Json::Object(vec![
        ("id", Json::Number(number.to_string())),
        ("name", text(format!("{first} {last}"))),
        ("email", text(format!("customer.{number}@mail.example"))),
        (
            "address",
            Json::Object(vec![
                (
                    "street",
                    text(format!("{} Long Lane", 1 + random.below(200))),
                ),
                (
                    "city",
                    text(random.of(&["Hamburg", "Leeds", "Kraków", "Lyon"])),
                ),
                ("zip", text(format!("{:05}", random.below(100_000)))),
                (
                    "position",
                    Json::Array(vec![random.coordinate(), random.coordinate()]),
                ),
            ]),
        ),
    ])
}

fn item(random: &mut Random) -> Json {
    let tags = ["new", "sale", "fragile", "gift", "large"];
    let count = random.below(4);
    let tags = (0..count).map(|_| text(random.of(&tags))).collect();
    Json::Object(vec![
        ("sku", text(format!("SKU-{:06}", random.below(1_000_000)))),
        (
            "name",
            text(random.of(&[
                "Lamp, 12\" shade",
                "Chair of oak with armrests, oiled",
                "Cable 3\u{d7}1.5 mm\u{b2}",
                "Path C:\\tools, boxed",
                "Teapot",
            ])),
        ),
        ("quantity", Json::Number((1 + random.below(9)).to_string())),
        (
            "price",
            Json::Object(vec![("amount", random.price()), ("currency", text("EUR"))]),
        ),
        ("tags", Json::Array(tags)),
        (
            "discount",
            match random.below(3) {
                0 => random.price(),
                _ => Json::Null,
            },
        ),
    ])
}

fn text(text: impl Into<String>) -> Json {
    Json::Text(text.into())
}

impl Json {
    /// As it is written.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) {
        match self {
            Self::Null => text.push_str("null"),
            Self::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
            Self::Number(number) => text.push_str(number),
            Self::Text(value) => write_string(value, text),
            Self::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    text.push(if index == 0 { '[' } else { ',' });
                    item.write(text);
                }
                text.push_str(if items.is_empty() { "[]" } else { "]" });
            }
            Self::Object(members) => {
                for (index, (key, value)) in members.iter().enumerate() {
                    text.push(if index == 0 { '{' } else { ',' });
                    write_string(key, text);
                    text.push(':');
                    value.write(text);
                }
                text.push_str(if members.is_empty() { "{}" } else { "}" });
            }
        }
    }

    /// How many values it is made of that hold no others.
    pub(crate) fn scalars(&self) -> usize {
        match self {
            Self::Array(items) => items.iter().map(Self::scalars).sum(),
            Self::Object(members) => members.iter().map(|(_, value)| value.scalars()).sum(),
            _ => 1,
        }
    }

    /// Changes the first of every so many such values; `seen` counts them.
    pub(crate) fn change(&mut self, every: usize, seen: &mut usize) {
        match self {
            Self::Array(items) => items.iter_mut().for_each(|item| item.change(every, seen)),
            Self::Object(members) => {
                for (_, value) in members {
                    value.change(every, seen);
                }
            }
            scalar => {
                if seen.is_multiple_of(every) {
                    scalar.change_it();
                }
                *seen += 1;
            }
        }
    }

    fn change_it(&mut self) {
        match self {
            Self::Null => *self = Self::Bool(true),
            Self::Bool(value) => *value = !*value,
            Self::Number(number) => number.insert(usize::from(number.starts_with('-')), '7'),
            Self::Text(value) => value.push('!'),
            Self::Array(_) | Self::Object(_) => {}
        }
    }

    /// Puts every object's members the other way round.
    pub(crate) fn reverse_members(&mut self) {
        match self {
            Self::Array(items) => items.iter_mut().for_each(Self::reverse_members),
            Self::Object(members) => {
                members.reverse();
                for (_, value) in members {
                    value.reverse_members();
                }
            }
            _ => {}
        }
    }
}

fn write_string(value: &str, text: &mut String) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            // Some services escape whatever is not ASCII, others don't; this one does it by half.
            '\u{80}'..='\u{ff}' => {
                // Writing to a String can't fail.
                let _infallible = write!(text, "\\u{:04x}", u32::from(character));
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

/// Numbers that are always the same ones (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        u32::try_from(high).unwrap_or_default()
    }

    fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    fn price(&mut self) -> Json {
        let (whole, cents) = (self.below(2000), self.below(100));
        Json::Number(format!("{whole}.{cents:02}"))
    }

    fn coordinate(&mut self) -> Json {
        let (whole, rest) = (self.below(180), self.next());
        let sign = if self.below(2) == 0 { "-" } else { "" };
        Json::Number(format!("{sign}{whole}.{rest:010}"))
    }
}
