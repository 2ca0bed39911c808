(* domains.ml - children started from several domains at once

   Built where OCaml has domains (see dune), run by run.sh. Each domain starts
   children in a context of its own, then all of them in one that they share.
   Exits with 0 if every end came once, with its own status, to the domain that
   waited for it, and no child is left. *)

open Xlchild

let child =
  Filename.concat (Sys.getenv "XLCHILD_ROOT") "build/tests/helpers/child"

let domains = 4
let children = 100

let die format =
  Printf.ksprintf
    (fun text ->
      prerr_endline ("domains: " ^ text);
      exit 1)
    format

let verbs list = command ~search:false child list
let exit_with code = verbs [ "exit"; string_of_int code ]

let expect what code (ended : ended) =
  if ended.status <> Status (Unix.WEXITED code) then
    die "%s: not exit code %d" what code

(* What a domain does while the others do the same: allocates, so that the
   garbage collector stops all of them in the middle of it. *)
let allocate () = ignore (Sys.opaque_identity (List.init 1000 string_of_int))

let in_every_domain f =
  List.iter Domain.join
    (List.init domains (fun number ->
         Domain.spawn (fun () ->
             try f number
             with exn -> die "domain %d: %s" number (Printexc.to_string exn))))

(* ---- a context a domain ---- *)

exception Boom

let alone number =
  with_context @@ fun ctx ->
  let code i = ((number * 50) + i) mod 256 in
  for i = 1 to children do
    allocate ();
    expect "held" (code i) (Child.wait (start ctx (exit_with (code i))))
  done;
  let here = Domain.self () and seen = ref 0 in
  for i = 1 to children do
    ignore
      (start ctx (exit_with (code i))
         ~report:
           (Callback
              (fun ended ->
                if Domain.self () <> here then die "called in another domain";
                expect "reported" (code i) ended;
                incr seen)))
  done;
  while !seen < children do
    allocate ();
    ignore (wait_many ~timeout:0.05 ctx)
  done;
  let text = Printf.sprintf "domain %d" number in
  let outcome = run ctx (verbs [ "say"; text ]) ~stdout:`Capture in
  if String.trim outcome.out.data <> text then die "another's output";
  ignore (start ctx (exit_with 0) ~report:(Callback (fun _ -> raise Boom)));
  match wait ctx with
  | _ -> die "an exception was swallowed"
  | exception Boom -> ()

(* ---- one context for all ---- *)

let shared () =
  with_context @@ fun ctx ->
  set_starters ctx 2;
  let seen =
    Array.init domains (fun _ -> Array.init children (fun _ -> Atomic.make 0))
  in
  let left = Atomic.make (domains * children) in
  in_every_domain (fun number ->
      let report i =
        Callback
          (fun ended ->
            expect "shared" i ended;
            Atomic.incr seen.(number).(i);
            Atomic.decr left)
      in
      let half = children / 2 in
      for i = 0 to half - 1 do
        allocate ();
        ignore (start ctx (exit_with i) ~report:(report i))
      done;
      List.iter
        (function
          | Ok _ -> () | Result.Error e -> die "batch: %s" (Error.to_string e))
        (start_many ctx
           (List.init half (fun i -> (exit_with (half + i), report (half + i)))));
      (* everybody pumps, whoever's child it is *)
      while Atomic.get left > 0 do
        ignore (wait_many ~timeout:0.02 ctx)
      done);
  Array.iteri
    (fun number row ->
      Array.iteri
        (fun i times ->
          if Atomic.get times <> 1 then
            die "child %d of domain %d: reported %d times" i number
              (Atomic.get times))
        row)
    seen;
  if count ctx <> 0 then die "children are left"

(* ---- one another's children ---- *)

(* Each domain puts what it starts where the others find it: one waits for it,
   another kills it, a third asks, all at once and by the same handle. *)
let one_anothers () =
  with_context @@ fun ctx ->
  let rounds = children / 4 in
  let handles =
    Array.init domains (fun _ -> Array.init rounds (fun _ -> Atomic.make None))
  in
  let rec taken cell =
    match Atomic.get cell with
    | Some child -> child
    | None ->
        Domain.cpu_relax ();
        taken cell
  in
  let ended = Array.init domains (fun _ -> Array.make rounds []) in
  in_every_domain (fun number ->
      for i = 0 to rounds - 1 do
        let live = (number + i) mod 2 = 0 in
        let command = if live then verbs [ "pause" ] else exit_with i in
        Atomic.set handles.(number).(i) (Some (start ctx command));
        for other = 0 to domains - 1 do
          let child = taken handles.(other).(i) in
          allocate ();
          if (other + i) mod 2 = 0 && (other + number) mod 2 = 1 then
            ignore (Child.kill_result child Sys.sigkill);
          if (other + number) mod 4 <> 3 then ignore (Child.poll child)
        done;
        for other = 0 to domains - 1 do
          let child = taken handles.(other).(i) in
          let status = (Child.wait child).status in
          let expected =
            if (other + i) mod 2 = 0 then
              Status (Unix.WSIGNALED Sys.sigkill)
            else Status (Unix.WEXITED i)
          in
          if not (Status.equal status expected) then
            die "domain %d, child %d of domain %d: %s" number i other
              (Status.to_string status);
          ended.(number).(i) <- status :: ended.(number).(i)
        done
      done);
  Array.iter
    (Array.iter (fun all ->
         if List.length all <> domains then die "not all were told"))
    ended;
  if count ctx <> 0 then die "children are left"

let () =
  in_every_domain alone;
  shared ();
  for _ = 1 to 4 do
    one_anothers ()
  done;
  match Unix.waitpid [ Unix.WNOHANG ] (-1) with
  | _ -> die "a child is left"
  | exception Unix.Unix_error (Unix.ECHILD, _, _) ->
      Printf.printf "%d domains, %d children\n" domains
        (domains * children * 3)
