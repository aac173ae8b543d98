;; Names itself as a path that leads upwards.
;; group: describe
;; refused: bad_description
;; says: ../../evil
(component
  (;memory;)
  (core module $m
    (import "memory" "memory" (memory 1))
    (data (i32.const 1024) "\28\23\00\00\0a\00\00\00")
    (data (i32.const 9000) "../../evil"))
  (core instance $i (instantiate $m (with "memory" (instance $memory))))
  (;skill;))
