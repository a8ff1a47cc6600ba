//! What a process requests from the kernel about its memory, before it does anything else.

/// Keeps the kernel from backing the heap with huge pages. The allocator requests them, and then an idle gateway uses
/// three times the memory it needs, because what thousands of connections allocate is small and spread out. If this
/// fails (an old kernel, a strict sandbox), the process only uses more memory.
pub fn refuse_huge_pages() {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn huge_pages_are_rejected() {
        super::refuse_huge_pages();
        assert!(rustix::thread::transparent_huge_pages_are_disabled().unwrap());
    }
}
