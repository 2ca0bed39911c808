(* soak.ml - a supervisor's long life in a short time

   soak.exe SECONDS drives a daemon (daemon.ml) of twenty-two services that
   crash, hang, end well or never get ready (services.ml). In the first part one
   life of it goes on without a break, and has to keep its memory and
   descriptors; in the second it is killed or leaves its services again and
   again, and its next life goes on. In the end every run has to have been told
   once, with the status it had (ledger.ml), and nothing may be left.

   Run under the helper `reaper`, which is the init of what daemons leave. *)

let say format = Printf.ksprintf print_endline format

type life = {
  pid : int;
  commands : Unix.file_descr;
  out : Unix.file_descr;
  unread : Buffer.t;
}

type soak = {
  folder : string;
  ledger_path : string;
  ledger : Ledger.t;
  until : float;
  mutable lives : int;
  mutable killed : int;
  mutable restarts : int;
  mutable looks : (int * int * int) list;  (* the newest first *)
  mutable last : string list;  (* answers that are no events *)
}

let start soak =
  let commands_r, commands = Unix.pipe ~cloexec:true () in
  let out, out_w = Unix.pipe ~cloexec:true () in
  let pid =
    Unix.create_process Sys.executable_name
      [| Sys.executable_name; "daemon"; soak.folder; soak.ledger_path |]
      commands_r out_w Unix.stderr
  in
  Unix.close commands_r;
  Unix.close out_w;
  soak.lives <- soak.lives + 1;
  { pid; commands; out; unread = Buffer.create 4096 }

let hear soak line =
  match String.split_on_char ' ' line with
  | [ "up" ] -> soak.last <- line :: soak.last
  | [ "look"; fds; kib; words ] ->
      soak.looks <-
        (int_of_string fds, int_of_string kib, int_of_string words)
        :: soak.looks
  | [ "closed"; fds; children ] ->
      soak.last <- line :: soak.last;
      if fds <> "0" || children <> "0" then
        Ledger.wrong soak.ledger
          "a closed daemon has %s descriptors and %s children more" fds
          children
  | _ -> Ledger.hear soak.ledger line

(* False at its end. *)
let read soak life =
  let buffer = Bytes.create 65536 in
  match Unix.read life.out buffer 0 (Bytes.length buffer) with
  | exception Unix.Unix_error (Unix.EINTR, _, _) -> true
  | 0 -> false
  | n ->
      Buffer.add_subbytes life.unread buffer 0 n;
      let rec lines = function
        | [] -> ()
        | [ rest ] ->
            Buffer.clear life.unread;
            Buffer.add_string life.unread rest
        | line :: more ->
            hear soak line;
            lines more
      in
      lines (String.split_on_char '\n' (Buffer.contents life.unread));
      true

let rec read_to_end soak life = if read soak life then read_to_end soak life

let command life text =
  let line = text ^ "\n" in
  try ignore (Unix.write_substring life.commands line 0 (String.length line))
  with Unix.Unix_error (Unix.EPIPE, _, _) -> ()

(* Hears it until then, and annoys it meanwhile. *)
let rec go_on soak life ~until =
  let now = Xlchild.now () in
  if now < until then begin
    let pause = min (until -. now) (Random.float 0.1) in
    if Xlchild.poll ~timeout:pause [ life.out ] = [] then begin
      let kind, number =
        if Random.int 4 = 0 then ("long", Random.int 2)
        else ("deaf", Random.int 3)
      in
      soak.restarts <- soak.restarts + 1;
      command life (Printf.sprintf "restart %s-%d" kind number)
    end
    else if not (read soak life) then
      failwith "the daemon ended by itself";
    go_on soak life ~until
  end

let bury soak life ~expected =
  read_to_end soak life;
  Unix.close life.out;
  Unix.close life.commands;
  let _, status = Unix.waitpid [] life.pid in
  if status <> expected then Ledger.wrong soak.ledger "a daemon ended otherwise"

let kill soak life =
  soak.killed <- soak.killed + 1;
  if life.pid > 1 then Unix.kill life.pid Sys.sigkill;
  bury soak life ~expected:(Unix.WSIGNALED Sys.sigkill)

let ask soak life text =
  command life text;
  bury soak life ~expected:(Unix.WEXITED 0)

let look soak life =
  let before = List.length soak.looks in
  command life "look";
  while List.length soak.looks = before && read soak life do
    ()
  done

(* ---- the two parts ---- *)

let more_words = 5_000

(* A look may fall where threads hold what they have for a moment, a buffer of
   64 KiB each: what was kept is there in every one of some. *)
let rec look_at_rest soak life ~tries =
  look soak life;
  match soak.looks with
  | (_, _, words) :: ((_, _, words_before) :: _ as earlier)
    when words > words_before + more_words && tries > 1 ->
      soak.looks <- earlier;
      go_on soak life ~until:(Xlchild.now () +. 0.1);
      look_at_rest soak life ~tries:(tries - 1)
  | _ -> ()

let one_long_life soak ~from ~until =
  let life = start soak in
  go_on soak life ~until:(from +. ((until -. from) /. 5.));
  look soak life;
  go_on soak life ~until;
  look_at_rest soak life ~tries:20;
  if soak.ledger.lost > 0 then
    Ledger.wrong soak.ledger "%d ends lost within one life" soak.ledger.lost;
  life

let many_lives soak life ~until =
  let rec next life =
    let now = Xlchild.now () in
    if now >= until then life
    else begin
      go_on soak life
        ~until:(min until (now +. 0.02 +. Random.float 1.5));
      if Random.int 5 = 0 then ask soak life "leave" else kill soak life;
      next (start soak)
    end
  in
  next life

(* ---- the end ---- *)

(* Processes with our mark, whatever they are. *)
let survivors folder =
  let { Unix.st_dev; st_ino; _ } = Unix.stat folder in
  let mark = Printf.sprintf "XLCHILD_SERVICE=%x.%x/" st_dev st_ino in
  let has_mark pid =
    match open_in_bin (Printf.sprintf "/proc/%s/environ" pid) with
    | exception Sys_error _ -> false
    | file ->
        let rec search () =
          match input_line file with
          | line ->
              List.exists
                (fun text ->
                  String.length text > String.length mark
                  && String.sub text 0 (String.length mark) = mark)
                (String.split_on_char '\000' line)
              || search ()
          | exception (End_of_file | Sys_error _) -> false
        in
        Fun.protect ~finally:(fun () -> close_in_noerr file) search
  in
  Array.to_list (Sys.readdir "/proc")
  |> List.filter (fun name ->
         Option.is_some (int_of_string_opt name) && has_mark name)

let check_memory soak =
  match soak.looks with
  | [ (fds, kib, words); (fds_before, kib_before, words_before) ] ->
      say "one life:  %d -> %d fds, %d -> %d KiB resident, %d -> %d live words"
        fds_before fds kib_before kib words_before words;
      (* services that live at that moment have some; a heap grows to its size
         in a few seconds, and by words only where something is kept *)
      if abs (fds - fds_before) > 20 then
        Ledger.wrong soak.ledger "descriptors grew";
      if kib > kib_before + 4096 then Ledger.wrong soak.ledger "memory grew";
      if words > words_before + more_words then
        Ledger.wrong soak.ledger "the heap grew"
  | looks -> Ledger.wrong soak.ledger "%d looks" (List.length looks)

(* Where the kernel tells an exit to whoever has the pidfd. *)
let exit_info =
  lazy
    (List.mem Xlchild.Exit_info
       (Xlchild.with_context (fun ctx -> (Xlchild.diagnose ctx).facilities)))

let report soak =
  let l = soak.ledger in
  Ledger.read l soak.ledger_path;
  Ledger.settle l;
  let left = survivors soak.folder in
  if left <> [] then
    Ledger.wrong l "processes are left: %s" (String.concat " " left);
  check_memory soak;
  say "daemon:    %d lives, %d killed, %d services adopted" soak.lives
    soak.killed l.adopted;
  say "services:  %d starts, %d crashes, %d hangs, %d late, %d restarts asked"
    l.starts l.crashes l.hangs l.late soak.restarts;
  say "ends:      %d told, %d of them lost and %d never seen between lives, %d \
       told twice"
    (Hashtbl.length l.told) (l.lost - l.unknown) l.unknown l.told_again;
  say "keeping:   %d ends lost while no daemon lived, %d runs began unseen"
    l.away l.unseen;
  if Lazy.force exit_info && l.away > 0 then
    Ledger.wrong l "%d ends lost while no daemon lived" l.away;
  say "groups:    %d starts met the run before, %d processes left" l.overlaps
    (List.length left);
  List.iteri (fun i text -> if i < 20 then say "WRONG: %s" text) l.wrong;
  say "soak: %d wrong" (List.length l.wrong);
  l.wrong = []

(* Whatever happened, nothing is left. *)
let clean_up folder =
  let open Xlchild_supervisor in
  match create_result ~state_folder:folder () with
  | Ok t ->
      stop_left t;
      close t
  | Error e -> say "soak: %s" (error_text e)

let drive seconds folder =
  Sys.set_signal Sys.sigpipe Sys.Signal_ignore;
  let from = Xlchild.now () in
  let soak =
    {
      folder;
      ledger_path = Filename.concat folder "ledger";
      ledger = Ledger.create ();
      until = from +. seconds;
      lives = 0;
      killed = 0;
      restarts = 0;
      looks = [];
      last = [];
    }
  in
  close_out (open_out soak.ledger_path);
  Fun.protect
    ~finally:(fun () -> clean_up folder)
    (fun () ->
      let life = one_long_life soak ~from ~until:(from +. (seconds *. 0.4)) in
      let life = many_lives soak life ~until:soak.until in
      ask soak life "close");
  report soak

let with_folder f =
  let folder = Filename.temp_file "xlchild-soak" "" in
  Sys.remove folder;
  Unix.mkdir folder 0o700;
  Fun.protect
    ~finally:(fun () ->
      ignore (Unix.system (Filename.quote_command "rm" [ "-rf"; "--"; folder ])))
    (fun () -> f folder)

let () =
  match Array.to_list Sys.argv with
  | [ _; "daemon"; folder; ledger ] -> Daemon.run ~folder ~ledger
  | [ _; seconds ] ->
      Random.self_init ();
      if not (with_folder (drive (float_of_string seconds))) then exit 1
  | _ -> prerr_endline "usage: soak SECONDS"; exit 2
