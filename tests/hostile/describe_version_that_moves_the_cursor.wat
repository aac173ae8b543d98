;; Has control characters in its version.
;; group: describe
(component
  (;memory;)
  (core module $m
    (import "memory" "memory" (memory 1))
    (data (i32.const 1032) "\28\23\00\00\08\00\00\00")
    (data (i32.const 9000) "1\1b[2J\0d\0a2"))
  (core instance $i (instantiate $m (with "memory" (instance $memory))))
  (;skill;))
