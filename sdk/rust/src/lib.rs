//! Policy modules in Rust. The contract is that of package sdk/abi: a module says
//! with [`module!`] which rules it has; a rule reads the context through [`Value`]
//! and writes its decision to [`Writer`].
//!
//! What an earlier rule of the same call patched is not shown to later ones; rules
//! that come too late are skipped, as the contract has it.
#![no_std]

mod json;
mod time;

pub use json::{Doc, Kind, Node, Value};
pub use time::Time;

/// A rule writes what stands in its decision after "rule" and returns whether the
/// proposal stands: whether its decision is ACCEPT.
pub type Decide = fn(context: Value, config: Value, out: &mut Writer) -> bool;

/// A rule by its name in the manifest.
pub struct Rule {
    pub name: &'static str,
    pub decide: Decide,
}

/// Where decisions are written. What does not fit makes the call an error.
pub struct Writer<'a> {
    bytes: &'a mut [u8],
    len: usize,
    full: bool,
}

impl<'a> Writer<'a> {
    fn new(bytes: &'a mut [u8]) -> Self {
        Writer { bytes, len: 0, full: false }
    }

    /// Appends JSON as it is.
    pub fn put(&mut self, json: &str) {
        self.put_bytes(json.as_bytes());
    }

    /// Appends a value as the context has it, null for an absent one.
    pub fn put_value(&mut self, v: Value) {
        self.put_bytes(v.raw().unwrap_or(b"null"));
    }

    /// Appends a time with its quotes.
    pub fn put_time(&mut self, t: Time) {
        self.put("\"");
        self.put_bytes(&t.text());
        self.put("\"");
    }

    fn put_bytes(&mut self, b: &[u8]) {
        match self.bytes.get_mut(self.len..self.len + b.len()) {
            Some(to) => {
                to.copy_from_slice(b);
                self.len += b.len();
            }
            None => self.full = true,
        }
    }
}

/// Answers a context with a verdict; returns its length in output. input ends with
/// eight zeros, which are not of the text.
pub fn evaluate(rules: &[Rule], input: &[u8], nodes: &mut [Node], output: &mut [u8]) -> usize {
    let room = output.len() - END.len();
    let mut out = Writer::new(&mut output[..room]);
    out.put("{\"decisions\":[");
    let failure = decide(rules, input, nodes, &mut out).err();
    let mut len = out.len;
    let mut end = |text: &str| {
        output[len..len + text.len()].copy_from_slice(text.as_bytes());
        len += text.len();
    };
    match failure {
        None => end("]}"),
        Some(reason) => {
            end("],\"error\":\"");
            end(reason);
            end("\"}");
        }
    }
    len
}

/// The longest end of a verdict.
const END: &str = "],\"error\":\"the context lacks rules or a transition\"}";

fn decide(rules: &[Rule], input: &[u8], nodes: &mut [Node], out: &mut Writer) -> Result<(), &'static str> {
    let doc = Doc::parse(input, nodes).ok_or("the context is not JSON")?;
    let context = doc.root();
    if context.get("abi").int() != Some(1) {
        return Err("the context's abi is not 1");
    }
    let asked = context.get("rules");
    if asked.kind() != Kind::Array || context.get("transition").kind() != Kind::Object {
        return Err(&END[11..END.len() - 2]);
    }
    let mut stands = true;
    for (k, call) in asked.elements().enumerate() {
        let name = call.get("name");
        let rule = rules.iter().find(|r| name.is(r.name)).ok_or("this module has no such rule")?;
        let before = out.len;
        out.put(if k == 0 { "{\"rule\":\"" } else { ",{\"rule\":\"" });
        out.put(rule.name);
        out.put("\"");
        if stands {
            stands = (rule.decide)(context, call.get("config"), out);
        } else {
            out.put(",\"decision\":\"SKIPPED\"");
        }
        out.put("}");
        if out.full {
            out.len = before;
            return Err("the decisions are too large");
        }
    }
    Ok(())
}

/// Makes the exports of a module from its manifest as JSON and its rules.
#[macro_export]
macro_rules! module {
    ($manifest:expr, $($name:literal => $decide:path),+ $(,)?) => {
        #[no_mangle]
        pub extern "C" fn interlock_abi() -> i32 {
            1
        }
        #[no_mangle]
        pub extern "C" fn interlock_manifest() -> u64 {
            let manifest: &'static str = $manifest;
            (manifest.as_ptr() as u64) << 32 | manifest.len() as u64
        }
        #[no_mangle]
        pub extern "C" fn interlock_alloc(size: u32) -> *mut u8 {
            $crate::guest::alloc(size as usize)
        }
        #[no_mangle]
        pub extern "C" fn interlock_evaluate(at: *mut u8, size: u32) -> u64 {
            const RULES: &[$crate::Rule] = &[$($crate::Rule { name: $name, decide: $decide }),+];
            $crate::guest::evaluate(RULES, at, size as usize)
        }
        #[cfg(target_arch = "wasm32")]
        #[panic_handler]
        fn panic(_: &core::panic::PanicInfo) -> ! {
            core::arch::wasm32::unreachable()
        }
    };
}

/// What the exports work on: a guest has one thread.
#[cfg(target_arch = "wasm32")]
pub mod guest {
    use super::{Node, Rule};
    use core::ptr::{addr_of_mut, null_mut};
    use core::slice::from_raw_parts_mut;

    // What a call of usual size needs. One that is larger gets pages of its own.
    const INPUT: usize = 4 << 10;
    const NODES: usize = INPUT / 2 + 4; // a text of n bytes has at most n/2 + 1 values and keys
    const OUTPUT: usize = 4 << 10;
    const PAD: usize = 8;
    const PAGE: usize = 64 << 10;

    static mut INPUT_BYTES: [u8; INPUT + PAD] = [0; INPUT + PAD];
    static mut NODE_ROOM: [Node; NODES] = [Node::NONE; NODES];
    static mut OUTPUT_BYTES: [u8; OUTPUT] = [0; OUTPUT];
    // Pages for large calls, kept for the next.
    static mut LARGE: *mut u8 = null_mut();
    static mut LARGE_SIZE: usize = 0;

    /// The nodes that a text of this size may need, and where they stand after it.
    fn large(size: usize) -> (usize, usize) {
        (size / 2 + 4, (size + PAD + 15) & !15)
    }

    /// Lends the input buffer: good until the next call; null for a size that there
    /// is no room for.
    pub fn alloc(size: usize) -> *mut u8 {
        let (room, after) = large(size);
        let wanted = after + room * core::mem::size_of::<Node>();
        // SAFETY: one thread, and no reference to these outlives a call.
        unsafe {
            if size <= INPUT {
                return addr_of_mut!(INPUT_BYTES) as *mut u8;
            }
            if size > 64 << 20 {
                return null_mut();
            }
            if wanted > LARGE_SIZE {
                let pages = (wanted + PAGE - 1) / PAGE;
                let at = core::arch::wasm32::memory_grow(0, pages);
                if at == usize::MAX {
                    return null_mut();
                }
                LARGE = (at * PAGE) as *mut u8;
                LARGE_SIZE = pages * PAGE;
            }
            LARGE
        }
    }

    /// Answers the context that a host wrote to what alloc lent for this size.
    pub fn evaluate(rules: &[Rule], at: *mut u8, size: usize) -> u64 {
        // SAFETY: one thread; the input is where alloc made room for it and for the
        // nodes, and the three do not overlap.
        unsafe {
            let output = from_raw_parts_mut(addr_of_mut!(OUTPUT_BYTES) as *mut u8, OUTPUT);
            let (room, after) = large(size);
            let (input, nodes) = if size <= INPUT && at == addr_of_mut!(INPUT_BYTES) as *mut u8 {
                (from_raw_parts_mut(at, size + PAD), from_raw_parts_mut(addr_of_mut!(NODE_ROOM) as *mut Node, NODES))
            } else if size > INPUT && at == LARGE && after + room * core::mem::size_of::<Node>() <= LARGE_SIZE {
                (from_raw_parts_mut(at, size + PAD), from_raw_parts_mut(at.add(after) as *mut Node, room))
            } else {
                core::arch::wasm32::unreachable()
            };
            input[size..].fill(0);
            let len = super::evaluate(rules, input, nodes, output);
            (output.as_ptr() as u64) << 32 | len as u64
        }
    }
}
