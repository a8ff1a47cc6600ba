//! What a process asks of the kernel about its memory, before anything else happens in it.

/// Keeps the kernel from backing the heap with huge pages. The allocator asks for them, and then a gateway that has done
/// nothing yet holds three times the memory it needs: what thousands of connections allocate is small and spread out.
/// Without the right to (an old kernel, a strict sandbox) the process only becomes larger.
pub fn refuse_huge_pages() {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn huge_pages_are_refused() {
        super::refuse_huge_pages();
        assert!(rustix::thread::transparent_huge_pages_are_disabled().unwrap());
    }
}
